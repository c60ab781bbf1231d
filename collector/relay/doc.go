// Package relay forwards HTTP/1.1 messages between programs and servers byte for
// byte.
//
//	program <──> driver <──> machine ──> Handler: Route, Dial, Sent, Done
//	upstream <─────┘            └──────> http1: heads and framing
//
// Each program connection is paired with its own upstream connection, and both are
// closed together. The bytes sent are the bytes read, with the same order, case,
// spacing and chunk boundaries, except that fields meant only for a proxy are
// removed from requests, and an absolute-form target becomes an origin-form one.
// The Handler decides where requests go, and interprets exchanges.
//
// A request that is malformed or ambiguous is refused before any byte of it is
// sent. After that the relay adds nothing of its own: a reset is forwarded as a
// reset, a close as a close, and a response that cannot be parsed as the bytes that
// were received. No request is ever sent twice. One that comes after a pause, before
// it is known that the upstream has closed the connection, goes to a new one: nothing
// of it was sent.
//
// machine is a state machine without I/O. On Linux a loop drives the machines of
// many pairs, with TLS or without; blocking does so by goroutines on other systems.
// A pair has a goroutine for what comes before HTTP (TLS handshakes, redirected
// connections) and for what follows a CONNECT.
package relay
