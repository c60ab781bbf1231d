// Package netfault maps errors of package net to the faults of package classify.
package netfault

import (
	"errors"
	"net"
	"strings"
	"syscall"

	"github.com/ksyun-tap/ksyun-tap/classify"
)

// OfDial returns the fault for an error of making a connection, name resolution
// included. For an error of another kind it is classify.FaultUnreachable.
func OfDial(err error) classify.Fault {
	var (
		dns     *net.DNSError
		timeout net.Error
	)
	switch {
	case IsExhausted(err):
		return classify.FaultExhausted
	case errors.As(err, &dns):
		return classify.FaultDNS
	case errors.Is(err, syscall.ECONNREFUSED):
		return classify.FaultConnRefused
	case errors.As(err, &timeout) && timeout.Timeout():
		return classify.FaultDialTimeout
	}
	return classify.FaultUnreachable
}

// IsExhausted reports whether err means that no file descriptors are left. The errors
// of the system's resolver have the cause only as text; that of ENFILE begins with
// that of EMFILE.
func IsExhausted(err error) bool {
	if dns, ok := errors.AsType[*net.DNSError](err); ok && strings.Contains(dns.Err, syscall.EMFILE.Error()) {
		return true
	}
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)
}
