// Package collector gets calls: it relays them unchanged between the program
// and the API, and tells a Sink what it saw.
//
//	program ──> relay.Server ──same bytes──> API
//	                │
//	             handler ── Policy: may it go there?
//	                │────── classify: what was asked, what was answered?
//	                └─────> Sink.Begin, Sink.Observe
//
// Package relay moves the bytes. This package says where a request may go,
// answers in the vendor's shape those that may not or cannot be sent, and turns
// each exchange into one classify.Observation.
//
// # Where requests may go
//
// Only tapped hosts (Policy.TapHosts) are observed, on any port. Other hosts
// are refused, or passed on unseen to ports 80 and 443, or, on a listener that
// is one program's own (OtherPass), to any port and address. Else no name may lead to a
// loopback, link-local, unspecified or multicast address, whatever it resolves
// to at the moment of connecting, and none to one of our own listeners. The one
// way to such an address is Policy.ConnectTo, and never to ourselves.
//
// # TLS
//
// With Config.Intercept, the TLS of a CONNECT to a tapped host ends here, under
// a certificate of ours, and begins anew towards the upstream, whose own is
// always verified. The requests within go to the host of the CONNECT whatever
// they say. A listener of Proxy.ServeTLS does the same where TLS comes unasked,
// for the host that its ClientHello names.
//
// All other CONNECTs are other hosts: refused, or passed on unseen. So are those
// to a tapped host that there is no certificate for. Where other hosts are
// forwarded, so is that one, since nobody knows what a refusal would break; else
// the refusal says what to set. That a certificate could not be made is our own
// failure and never refuses a call.
//
// # Errors of our own
//
// They are sent only as long as no byte of the request was, with the field
// X-Ksyun-Tap-Error. Where no connection was made, which may pass, the status is
// one that SDKs try again after; else one that they do not. After that, what happens
// to the upstream's connection happens to the program's.
package collector

import "github.com/ksyun-tap/ksyun-tap/classify"

// Sink is told of attempts. Its methods are called on the goroutine that
// relays the call: they must not block, must not panic, and must not keep what
// they are given (see classify.Observation).
type Sink interface {
	// Begin tells that an attempt is about to be sent upstream. Exactly one
	// Observe with the same service follows.
	Begin(call *classify.Call)
	// Observe tells how an attempt ended, after the program's last byte was
	// written. An attempt the tap refused (Fault.Refused) had no Begin.
	Observe(o *classify.Observation)
}
