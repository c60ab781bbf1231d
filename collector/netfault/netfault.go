// Package netfault maps errors of package net to the faults of package classify.
package netfault

import (
	"errors"
	"net"
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
		return classify.FaultUnreachable
	case errors.As(err, &dns):
		return classify.FaultDNS
	case errors.Is(err, syscall.ECONNREFUSED):
		return classify.FaultConnRefused
	case errors.As(err, &timeout) && timeout.Timeout():
		return classify.FaultDialTimeout
	}
	return classify.FaultUnreachable
}

// IsExhausted reports whether err means that no file descriptors are left.
func IsExhausted(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)
}
