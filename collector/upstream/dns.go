package upstream

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/ksyun-tap/ksyun-tap/usererror"
)

// Resolver resolves host names. *net.Resolver and DNS implement it. It must be
// safe for concurrent use, and should return errors of type *net.DNSError.
type Resolver interface {
	// LookupNetIP returns all addresses of host. The network is always "ip".
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// DNS is a Resolver that queries one DNS server. Unlike net.Resolver, it ignores
// the hosts file and search domains. The zero value is not usable; see ParseDNS.
type DNS struct{ server netip.AddrPort }

// ParseDNS parses "IP" or "IP:PORT". IPv6 addresses with a port are written in
// brackets. The default port is 53.
func ParseDNS(s string) (DNS, error) {
	if ip, err := netip.ParseAddr(s); err == nil {
		return DNS{netip.AddrPortFrom(ip, 53)}, nil
	}
	at, err := netip.ParseAddrPort(s)
	if err != nil || at.Port() == 0 {
		return DNS{}, usererror.New(strconv.Quote(s)+" is not a DNS server", "write IP or IP:PORT, as in 10.96.0.10 or [fd00::a]:53")
	}
	return DNS{at}, nil
}

// String returns d in the syntax of ParseDNS.
func (d DNS) String() string { return d.server.String() }

// Queries over UDP are repeated, because packets get lost.
const (
	dnsTries = 3
	dnsWait  = 2 * time.Second // for the response to one query
	dnsSize  = 1232            // the largest response over UDP, in bytes, that is not fragmented
)

var (
	errDNSResponse = errors.New("the DNS response is malformed or answers another question")
	errNoSuchHost  = errors.New("no such host")
)

// LookupNetIP implements Resolver. It returns IPv4 addresses first.
func (d DNS) LookupNetIP(ctx context.Context, _, host string) ([]netip.Addr, error) {
	name, err := dnsmessage.NewName(strings.TrimSuffix(host, ".") + ".")
	if err != nil {
		return nil, d.failed(host, err)
	}
	type result struct {
		addrs []netip.Addr
		err   error
	}
	v6 := make(chan result, 1)
	go func() {
		addrs, err := d.lookUp(ctx, name, dnsmessage.TypeAAAA)
		v6 <- result{addrs, err}
	}()
	addrs, err := d.lookUp(ctx, name, dnsmessage.TypeA)
	more := <-v6
	if addrs = append(addrs, more.addrs...); len(addrs) == 0 {
		return nil, d.failed(host, cmp.Or(err, more.err, errNoSuchHost))
	}
	return addrs, nil
}

func (d DNS) failed(host string, err error) error {
	timeout := false
	if ne, ok := errors.AsType[net.Error](err); ok {
		timeout = ne.Timeout()
	}
	return &net.DNSError{
		UnwrapErr: err, Err: err.Error(), Name: host, Server: d.String(),
		IsTimeout: timeout, IsNotFound: errors.Is(err, errNoSuchHost),
	}
}

// lookUp returns the addresses of one family: kind is TypeA or TypeAAAA.
func (d DNS) lookUp(ctx context.Context, name dnsmessage.Name, kind dnsmessage.Type) (addrs []netip.Addr, err error) {
	for range dnsTries {
		var truncated bool
		if addrs, truncated, err = d.ask(ctx, "udp", name, kind); truncated {
			addrs, _, err = d.ask(ctx, "tcp", name, kind)
		}
		if err == nil || errors.Is(err, errNoSuchHost) || ctx.Err() != nil {
			break
		}
	}
	return addrs, err
}

// ask sends one query and parses the response.
func (d DNS) ask(ctx context.Context, network string, name dnsmessage.Name, kind dnsmessage.Type) (addrs []netip.Addr, truncated bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, dnsWait)
	defer cancel()
	nc, err := new(net.Dialer).DialContext(ctx, network, d.server.String())
	if err != nil {
		return nil, false, err
	}
	defer nc.Close()
	stop := context.AfterFunc(ctx, func() {
		nc.SetDeadline(time.Unix(1, 0)) //nolint:errcheck // a closed connection ends its reads anyway
	})
	defer stop()

	id := uint16(rand.Uint32()) //nolint:gosec // the socket's port is random too, and TLS verifies the upstream
	question, err := dnsQuestion(id, name, kind)
	if err != nil {
		return nil, false, err
	}
	response := make([]byte, dnsSize)
	if network == "tcp" {
		response, err = exchangeTCP(nc, question)
	} else {
		response, err = exchangeUDP(nc, question, response, id)
	}
	if err != nil {
		return nil, false, err
	}
	return dnsAddresses(response, id, name, kind)
}

func exchangeUDP(nc net.Conn, question, response []byte, id uint16) ([]byte, error) {
	if _, err := nc.Write(question); err != nil {
		return nil, err
	}
	for {
		n, err := nc.Read(response)
		if err != nil {
			return nil, err
		}
		if n >= 2 && binary.BigEndian.Uint16(response) == id { // otherwise it is late or forged
			return response[:n], nil
		}
	}
}

func exchangeTCP(nc net.Conn, question []byte) ([]byte, error) {
	framed := binary.BigEndian.AppendUint16(nil, uint16(len(question))) //nolint:gosec // a name has 255 bytes at most
	if _, err := nc.Write(append(framed, question...)); err != nil {
		return nil, err
	}
	var size [2]byte
	if _, err := io.ReadFull(nc, size[:]); err != nil {
		return nil, err
	}
	response := make([]byte, binary.BigEndian.Uint16(size[:]))
	_, err := io.ReadFull(nc, response)
	return response, err
}

func dnsQuestion(id uint16, name dnsmessage.Name, kind dnsmessage.Type) ([]byte, error) {
	b := dnsmessage.NewBuilder(nil, dnsmessage.Header{ID: id, RecursionDesired: true})
	var size dnsmessage.ResourceHeader
	err := errors.Join(
		b.StartQuestions(),
		b.Question(dnsmessage.Question{Name: name, Type: kind, Class: dnsmessage.ClassINET}),
		b.StartAdditionals(),
		size.SetEDNS0(dnsSize, dnsmessage.RCodeSuccess, false),
		b.OPTResource(size, dnsmessage.OPTResource{}),
	)
	if err != nil {
		return nil, err
	}
	return b.Finish()
}

// dnsAddresses parses a response. CNAME records are skipped: the server includes
// the addresses that they lead to.
func dnsAddresses(b []byte, id uint16, name dnsmessage.Name, kind dnsmessage.Type) (addrs []netip.Addr, truncated bool, err error) {
	var p dnsmessage.Parser
	h, err := p.Start(b)
	if err != nil || h.ID != id || !h.Response {
		return nil, false, errDNSResponse
	}
	q, err := p.Question()
	if err != nil || q.Type != kind || q.Class != dnsmessage.ClassINET || !strings.EqualFold(q.Name.String(), name.String()) {
		return nil, false, errDNSResponse
	}
	switch {
	case h.RCode == dnsmessage.RCodeNameError:
		return nil, false, errNoSuchHost
	case h.RCode != dnsmessage.RCodeSuccess:
		return nil, false, fmt.Errorf("the DNS server returned %v", h.RCode)
	case h.Truncated:
		return nil, true, errDNSResponse
	}
	if err := p.SkipAllQuestions(); err != nil {
		return nil, false, errDNSResponse
	}
	for {
		h, err := p.AnswerHeader()
		switch {
		case errors.Is(err, dnsmessage.ErrSectionDone):
			return addrs, false, nil
		case err != nil:
			return nil, false, errDNSResponse
		}
		var addr netip.Addr
		switch {
		case h.Type == kind && kind == dnsmessage.TypeA:
			var r dnsmessage.AResource
			r, err = p.AResource()
			addr = netip.AddrFrom4(r.A)
		case h.Type == kind:
			var r dnsmessage.AAAAResource
			r, err = p.AAAAResource()
			addr = netip.AddrFrom16(r.AAAA)
		default:
			err = p.SkipAnswer()
		}
		if err != nil {
			return nil, false, errDNSResponse
		}
		if addr.IsValid() {
			addrs = append(addrs, addr)
		}
	}
}
