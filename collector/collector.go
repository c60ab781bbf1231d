// Package collector forwards API calls unchanged between a program and the API
// and reports each of them to a classify.Sink.
//
//	program ──> relay.Server ──same bytes──> API
//	                │
//	             handler ── way: how does this listener route?
//	                │────── Policy: may it go there? upstream.Dialer: how?
//	                │────── classify: what was called, and how did it end?
//	                └─────> Sink.Begin, Sink.Observe
//
// Package relay moves the bytes, and package upstream connects. This package decides
// where a request may go, responds with an error in the vendor's format if a request
// is refused or cannot be sent, and turns each exchange into one
// classify.Observation.
//
// Three more packages report calls to the same sink: transport from within a Go
// program, csm from the records of an SDK, and resign, which signs calls again on
// behalf of this package.
//
// # Where requests may go
//
// Only calls to tapped hosts (Policy.TapHosts) are observed, on any port.
// Policy.OtherHosts decides about requests to other hosts: they are refused,
// forwarded unobserved to ports 80 and 443, or, on a listener that only one
// program can reach (OtherPass), forwarded to any port and address.
//
// Except with OtherPass, no connection is made to a loopback, link-local,
// unspecified or multicast address. The check is done on the address that is
// about to be connected to, so that DNS cannot change it in between. The only
// exception is Policy.ConnectTo. A connection to one of our own listeners is
// always refused.
//
// # TLS
//
// With Config.Intercept, a CONNECT to a tapped host is intercepted: the
// program's TLS ends here, under a certificate of the local CA, and the request
// is sent over a second TLS connection to the upstream, whose certificate is
// always verified. The requests within go to the host of the CONNECT, whatever
// their Host field is. A listener of Proxy.ServeTLS does the same without a
// CONNECT, for the host in the program's ClientHello.
//
// All other CONNECTs are treated as requests to other hosts: refused or
// tunnelled. If there is no certificate for a tapped host, a CONNECT to it is
// tunnelled where other hosts may be, and otherwise refused with a response that
// names the setting to change. If making the certificate failed, which is our
// fault and not the program's, the CONNECT is never refused.
//
// # Errors of our own
//
// An error of our own has the header field X-Ksyun-Tap-Error. It is only sent
// if no byte of the request was. If no connection could be made, its status is
// one that SDKs retry; for a refused request it is one that they do not retry.
// Once the request is on its way, whatever happens to the upstream's connection
// happens to the program's.
package collector
