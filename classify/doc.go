// Package classify reads what one attempt at a Ksyun OpenAPI call was, and
// what its answer meant.
//
//	request line, fields, body prefix ──> Call     (what the program wanted)
//	status, fields, body prefix       ──> Verdict  (how it ended, why, whose fault)
//
// Everything here is a pure function of its arguments and of the error
// catalogue: no I/O, no clock, no goroutine, no logging. Nothing panics and
// nothing fails on foreign bytes; what cannot be read is left unknown, and
// Verdict.Unread says why.
//
// The catalogue is data (catalog.yaml, embedded) which users extend with files
// of their own.
package classify
