// Package http1test contains HTTP/1.1 messages for tests: legal, odd and malformed
// ones, named by what they test.
package http1test
