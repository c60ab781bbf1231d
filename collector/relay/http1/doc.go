// Package http1 reads the heads and the framing of HTTP/1.1 messages (RFC 9112)
// in the memory they were received in. It does no I/O and copies nothing: heads
// are offsets into that memory, so that what is passed on is what was received.
//
// Requests are read strictly, since a relay that does not normalise them must
// refuse those that two readers could understand differently: whatever nginx or
// HAProxy refuses is refused (test/e2e/strict compares the three).
//
// Answers are read as widely as clients do, framed as RFC 9112, section 6.3
// says. Those that are malformed but have one reading are reported as odd: the
// connection is not to be used again. What has no reading is an error.
//
// Every input is read in time and memory linear in its length.
package http1
