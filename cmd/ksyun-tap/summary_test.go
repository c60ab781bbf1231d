package main

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/ksyun-tap/ksyun-tap/collector"
)

// TestUnobservedInTheSummary checks that the summary lists what was not observed, the
// most frequent first, and stays short.
func TestUnobservedInTheSummary(t *testing.T) {
	var u unobservedHosts
	for range 3 {
		u.add(collector.Unobserved{Host: "registry", Port: 5000})
	}
	u.add(collector.Unobserved{Host: "fd00::1", Port: 9091})
	u.add(collector.Unobserved{Host: apiHost, Port: 443, Tapped: true})
	print := func() string {
		var out bytes.Buffer
		if err := (summary{Unobserved: u.list()}).print(&out); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	want := "ksyun-tap: 0 calls, 0 failed\n" +
		"not observed, because a program does not trust the tap's CA: " + apiHost + ":443 (1)\n" +
		"not observed, because not tapped: registry:5000 (3), [fd00::1]:9091 (1)\n"
	if got := print(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	for i := range 2 * maxHosts {
		u.add(collector.Unobserved{Host: fmt.Sprintf("h%04d", i), Port: 80})
	}
	if n := len(u.list()); n != maxHosts+1 {
		t.Errorf("%d hosts are kept", n)
	}
	if got := print(); len(got) > 2000 || !strings.Contains(got, " more\n") {
		t.Errorf("got %d bytes", len(got))
	}
}
