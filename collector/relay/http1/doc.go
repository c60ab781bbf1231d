// Package http1 reads the heads and the framing of HTTP/1.1 messages (RFC 9112)
// in the memory they were received in. It does no I/O and copies nothing: heads
// are offsets into that memory, so that what is passed on is what was received.
//
// Requests are read strictly: a request that two readers could understand
// differently is an error. Answers are read as widely as RFC 9112, section 6.3
// allows.
package http1
