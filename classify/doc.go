// Package classify parses one attempt at a Ksyun OpenAPI call and classifies its
// response.
//
//	request line, fields, body prefix ──> Call     (what was called)
//	status, fields, body prefix       ──> Verdict  (how it ended, why, who is to blame)
//
// All functions depend only on their arguments and the error catalogue: there is
// no I/O, clock, goroutine or logging. They accept arbitrary bytes without errors
// or panics. What cannot be read is left unknown, and Verdict.Unread gives the
// reason.
//
// Package redact finds the secrets that texts of the vendor and of requests contain,
// and hides them. Package signature finds out why a signature may have been refused.
//
// The catalogue is data (catalog.yaml, embedded). Users can extend it with their
// own files.
package classify
