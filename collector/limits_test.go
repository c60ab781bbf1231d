package collector

import (
	"reflect"
	"testing"

	"github.com/stretchr/testify/assert"
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
