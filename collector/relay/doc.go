// Package relay passes HTTP/1.1 messages between programs and servers byte for
// byte.
//
//	program ──> conn ──> head parsed ──> Handler.Route ──> upstream (pooled, or Handler.Dial)
//	        <── conn <──  same bytes <── framing followed <──┘
//
// It knows the wire format and nothing else: which request may go where, and
// what an exchange meant, is its Handler's business. What it sends is what it
// read, in the same order, case and spacing, chunk boundaries included, except
// that hop-by-hop fields are left out and an absolute-form target becomes an
// origin-form one.
//
// A request that is malformed or could be read in two ways is refused before
// a byte of it is sent. From then on nothing is invented: a reset is passed on
// as a reset, a close as a close, an answer that cannot be read as the bytes
// it came as, and no request is ever sent twice.
//
// A CONNECT opens a tunnel: bytes both ways, ends as they come, no deadlines. Or
// its TLS ends here and the requests within are relayed like any others, TLS's
// farewell being passed on like a FIN and its absence like a cut.
//
// Each program's connection is served by one goroutine. A second one runs only
// while a request body that was not there in one piece is sent, or while an
// answer is slow, to notice that the program went away.
package relay
