// Package cloudmonitor simulates the Ksyun Cloud Monitor OpenAPI, for the demo
// and for tests: the vendor's own gateway cannot be called by either.
//
// It verifies AWS Signature V4 (Authorization field and presigned query) and
// the vendor's simple signature strictly, serves the documented actions with
// plausible data within the documented limits, answers JSON or XML by Accept,
// gives every call a request ID, and produces any error, shape and transport
// fault on demand, by the X-Simulate request field (see Directive).
//
// What is known of the real gateway and what is a guess is told where it
// matters; nothing here is evidence of how the vendor behaves.
package cloudmonitor
