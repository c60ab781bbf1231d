package main

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/ksyun-tap/ksyun-tap/collector"
)

// TestUnseenInTheSummary checks that the summary names what passed unseen, the
// most used first, and stays short.
func TestUnseenInTheSummary(t *testing.T) {
	var u unseenHosts
	for range 3 {
		u.add(collector.Unseen{Host: "registry", Port: 5000})
	}
	u.add(collector.Unseen{Host: "fd00::1", Port: 9091})
	u.add(collector.Unseen{Host: apiHost, Port: 443, Tapped: true})
	print := func() string {
		var out bytes.Buffer
		if err := (summary{Unseen: u.list()}).print(&out); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	want := "ksyun-tap: 0 calls, 0 failed\n" +
		"passed unseen, since a program does not trust the tap's CA but brings trust of its own: " + apiHost + ":443 (1)\n" +
		"passed unseen, since not tapped: registry:5000 (3), [fd00::1]:9091 (1)\n"
	if got := print(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	for i := range 2 * maxUnseen {
		u.add(collector.Unseen{Host: fmt.Sprintf("h%04d", i), Port: 80})
	}
	if n := len(u.list()); n != maxUnseen+1 {
		t.Errorf("%d hosts are kept", n)
	}
	if got := print(); len(got) > 2000 || !strings.Contains(got, " more\n") {
		t.Errorf("got %d bytes", len(got))
	}
}
