// Package cloudmonitor simulates the Ksyun Cloud Monitor OpenAPI for the demo and
// for tests, which cannot call the vendor's gateway.
//
// It verifies AWS Signature V4 (Authorization header field and presigned query)
// and the vendor's simple signature strictly. It implements the documented actions
// with plausible data and the documented limits, responds with JSON or XML
// depending on Accept, and gives every call a request ID. The X-Simulate request
// field asks for any error, format and transport fault (see Directive).
//
// Comments say what is known about the real gateway and what is a guess. Nothing
// in this package is evidence of the vendor's behaviour.
package cloudmonitor
