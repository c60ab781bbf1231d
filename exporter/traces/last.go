package traces

import (
	"net/netip"

	"github.com/ksyun-tap/ksyun-tap/exporter/record"
)

// last holds texts of the last span, which the next one most likely has, too.
type last struct {
	upstream  netip.Addr
	address   string // of upstream
	operation record.Operation
	names     names // of operation
}

// names are what an operation is called in spans. They are "" if that is not known.
type names struct {
	span string
	peer string // value of service.peer.name, by which service graphs name what is called
}

// addressOf returns the text of the address of an upstream.
func (l *last) addressOf(upstream netip.Addr) string {
	if l.upstream != upstream {
		l.upstream, l.address = upstream, upstream.String()
	}
	return l.address
}

// namesOf returns the names of an operation.
func (l *last) namesOf(o record.Operation) names {
	if l.operation != o {
		l.operation, l.names = o, names{span: o.Action}
		if o.Service != "" {
			l.names.peer = "ksyun." + o.Service
		}
		if o.Service != "" && o.Action != "" {
			l.names.span = o.Service + "." + o.Action
		}
	}
	return l.names
}
