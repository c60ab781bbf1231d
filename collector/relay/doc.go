// Package relay passes HTTP/1.1 messages between programs and servers byte for
// byte.
//
//	program <──> driver <──> machine ──> Handler: Route, Dial, Sending, Done
//	upstream <─────┘            └──────> http1: heads and framing
//
// Each program connection is paired with an upstream connection of its own, and
// the two live and die together. What is sent is what was read, in the same
// order, case and spacing, chunk boundaries included, except that requests lose
// the fields that are for a proxy alone and an absolute-form target becomes an
// origin-form one. Which request may go where, and what an exchange meant, is
// the Handler's business.
//
// A request that is malformed or could be read in two ways is refused before a
// byte of it is sent. From then on nothing is invented: a reset is passed on as a
// reset, a close as a close, an answer that cannot be read as the bytes it came
// as, and no request is ever sent twice.
//
// machine is a state machine without I/O. On Linux a loop drives the machines of
// plain connections; blocking does so by goroutines for TLS and other systems.
// What comes before HTTP (TLS, redirected connections) and what a CONNECT opens
// is served by a goroutine of the pair's own.
package relay
