package collector

import (
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/ksyun-tap/ksyun-tap/classify"
)

// fill sets each number in v, at any depth, to another value from n on, and
// returns the value that follows.
func fill(v reflect.Value, n int64) int64 {
	switch {
	case v.Kind() == reflect.Struct:
		for _, field := range v.Fields() {
			n = fill(field, n)
		}
	case v.CanInt():
		v.SetInt(n)
		n++
	}
	return n
}

// TestConfigReachesTheRelay has each field of Config that relay.Config has too,
// by the same name, passed on, and no field of relay.Config left out.
func TestConfigReachesTheRelay(t *testing.T) {
	var cfg Config
	fill(reflect.ValueOf(&cfg).Elem(), 1)
	got := reflect.ValueOf((&Proxy{}).relayConfig(&cfg))
	shared := 0
	for i := range got.NumField() {
		name := got.Type().Field(i).Name
		assert.False(t, got.Field(i).IsZero(), "%s is not set", name)
		if ours := reflect.ValueOf(cfg).FieldByName(name); ours.IsValid() {
			shared++
			if !reflect.DeepEqual(ours.Interface(), got.Field(i).Interface()) {
				t.Errorf("%s is %v, want %v", name, got.Field(i), ours)
			}
		}
	}
	assert.GreaterOrEqual(t, shared, 6, "only %d fields are shared", shared)
}

// TestConnectionsAreLimited has one connection more than there may be, while all
// wait for a response.
func TestConnectionsAreLimited(t *testing.T) {
	r := newRig(t, func(c *Config) { c.MaxConnections = 1 })
	c := r.client()
	c.Send("GET / HTTP/1.1\r\nHost: " + host + "\r\n\r\n")
	r.upstream()
	r.client().Expect(string(busy))
	if s := r.proxy.Stats(); s.OpenClients != 1 || s.Refused != 1 {
		t.Errorf("%+v", s)
	}
}

// TestHeadWithoutMemory has a large head arrive in parts when there is no memory for
// it. The refusal is observed, although what was called is not known, and counts
// neither as an outage nor for the host of the request before it.
func TestHeadWithoutMemory(t *testing.T) {
	r := newRig(t, func(c *Config) { c.BufferBytes = 1 })
	c := r.client()
	c.Send(request(host))
	up := r.upstream()
	up.Expect(request(host))
	up.Deliver(okResponse, c)
	r.begun()
	r.observed()

	go c.Write([]byte("GET / HTTP/1.1\r\nHost: " + host + "\r\nX: " + strings.Repeat("x", 10<<10)))
	resp, body := c.Response()
	assert.Equal(t, http.StatusServiceUnavailable, resp.StatusCode)
	assert.Equal(t, "exhausted", resp.Header.Get("X-Ksyun-Tap-Error"))
	assert.Contains(t, body, "--proxy.buffer-limit")
	assert.Empty(t, r.begun().Host)
	o := r.observed()
	assert.Equal(t, classify.FaultExhausted, o.Fault)
	assert.Equal(t, classify.BlameTap, o.Verdict.Blame)
	assert.Equal(t, classify.OutcomeProxy, o.Verdict.Outcome)
	r.silent()
}

// TestWhyBodiesAreNotRead has bodies be longer than what is inspected of one, and than
// what there is memory for.
func TestWhyBodiesAreNotRead(t *testing.T) {
	body := `{"A":"` + strings.Repeat("a", 20_000) + `"}`
	length := fmt.Sprintf("Content-Length: %d\r\n\r\n", len(body))
	for want, change := range map[classify.Unread]func(*Config){
		classify.UnreadNone:   nil,
		classify.UnreadLength: func(c *Config) { c.InspectBytes = 1_000 },
		classify.UnreadMemory: func(c *Config) { c.BufferBytes = 1 },
	} {
		t.Run(string(want), func(t *testing.T) {
			r := newRig(t, change)
			req := "POST /?Action=ListMetrics&Version=2010-05-25 HTTP/1.1\r\nHost: " + host + "\r\n" + length + body
			c := r.client()
			c.Send(req)
			up := r.upstream()
			up.Expect(req)
			up.Deliver("HTTP/1.1 200 OK\r\n"+length+body, c)
			r.begun()
			o := r.observed()
			assert.Equal(t, want, o.Call.Unread, "of the request")
			assert.Equal(t, want, o.Verdict.Unread, "of the response")
		})
	}
}
