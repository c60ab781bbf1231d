// Package http1 parses the heads and the framing of HTTP/1.1 messages (RFC 9112)
// in the memory they were received in. It does no I/O and copies nothing: heads
// are offsets into that memory, so that the bytes sent are the bytes received.
//
// Requests are parsed strictly. A relay that does not normalise them must refuse
// those that two parsers could understand differently: whatever nginx or HAProxy
// refuses is refused (test/e2e/strict compares the three).
//
// Responses are parsed as leniently as clients do, and framed according to RFC 9112,
// section 6.3. A malformed response that can be understood in only one way is
// reported as odd: its connection must not be used again. Any other malformed
// response is an error.
//
// Parsing takes time and memory linear in the length of the input.
package http1
