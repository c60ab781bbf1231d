// Package http1test has HTTP/1.1 messages for tests: legal, odd and malformed
// ones, by what they try.
package http1test
