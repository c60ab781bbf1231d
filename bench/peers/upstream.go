//go:build linux

package main

import (
	"bytes"
	"crypto/tls"
)

// serve responds to each request at once, as the call's number says. config is nil for
// plain HTTP.
func (l *loop) serve(a *responses, config *tls.Config) (address string, err error) {
	end := []byte("\r\n\r\n")
	return l.listen(config, func(s *sock) {
		var partial []byte
		s.received = func(p []byte, err error) (done bool) {
			if err != nil {
				return true
			}
			if len(partial) > 0 || !bytes.HasSuffix(p, end) {
				partial = append(partial, p...)
				p = partial
				if !bytes.HasSuffix(p, end) {
					return false
				}
				partial = partial[:0]
			}
			number := numberOf(p)
			if number == nil {
				s.send([]byte("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"))
				return true
			}
			s.send(a.to(number).fill(number))
			return true
		}
	})
}
