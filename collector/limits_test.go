package collector

import (
	"reflect"
	"testing"

	"github.com/ksyun-tap/ksyun-tap/collector/relay"
)

// fill sets each number in v, at any depth, to another value from n on, and
// returns the value that follows.
func fill(v reflect.Value, n int64) int64 {
	switch {
	case v.Kind() == reflect.Struct:
		for _, f := range v.Fields() {
			n = fill(f, n)
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
	for field, v := range got.Fields() {
		if v.IsZero() {
			t.Errorf("%s is not set", field.Name)
		}
		if ours := reflect.ValueOf(cfg).FieldByName(field.Name); ours.IsValid() {
			shared++
			if !reflect.DeepEqual(ours.Interface(), v.Interface()) {
				t.Errorf("%s is %v, want %v", field.Name, v, ours)
			}
		}
	}
	if shared < 6 {
		t.Errorf("only %d fields are shared", shared)
	}
}

// TestStatsOfTheRelayAreShown has each counter of relay.Stats be in one of Stats.
func TestStatsOfTheRelayAreShown(t *testing.T) {
	var from relay.Stats
	end := fill(reflect.ValueOf(&from).Elem(), 1)
	shown := make(map[int64]int)
	got := reflect.ValueOf((&Proxy{}).stats(from))
	for _, f := range got.Fields() {
		shown[f.Int()]++
	}
	for n := int64(1); n < end; n++ {
		if shown[n] != 1 {
			t.Errorf("%s is shown %d times", reflect.TypeFor[relay.Stats]().Field(int(n-1)).Name, shown[n])
		}
	}
}

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
