package collector

import "testing"

// TestConnectionsAreLimited has one connection more than there may be, while all
// wait for an answer.
func TestConnectionsAreLimited(t *testing.T) {
	r := newRig(t, func(c *Config) { c.MaxConnections = 1 })
	c := r.client()
	c.send("GET / HTTP/1.1\r\nHost: " + host + "\r\n\r\n")
	r.upstream()
	r.client().expect(string(busy))
	if s := r.proxy.Stats(); s.ClientConnections != 1 || s.Refused != 1 {
		t.Errorf("%+v", s)
	}
}
