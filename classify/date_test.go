package classify

import (
	"testing"
	"time"
)

func TestServerTime(t *testing.T) {
	want := time.Date(2026, time.November, 6, 8, 49, 37, 0, time.UTC)
	const date = "Fri, 06 Nov 2026 08:49:37 GMT"
	f := func(name string, h heads, want time.Time) {
		t.Helper()
		if got := ServerTime(h); !got.Equal(want) {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
	f("plain", heads{{"date", date}}, want)
	f("missed by a cache", heads{{"Date", date}, {"X-Cache", "MISS from gateway"}}, want)
	f("of age", heads{{"Date", date}, {"Age", "0"}}, time.Time{})
	f("from a cache", heads{{"Date", date}, {"X-Cache", "TCP_HIT"}}, time.Time{})
	f("from a cache by RFC 9211", heads{{"Date", date}, {"Cache-Status", "gateway; hit"}}, time.Time{})
	f("without a date", heads{{"Age", "0"}}, time.Time{})
	for _, bad := range []string{
		"", "Fri, 06 Nov 2026 08:49:37", "Fri, 06 Foo 2026 08:49:37 GMT", "Fri, 00 Nov 2026 08:49:37 GMT", "Fri, 06 Nov 2026 24:49:37 GMT",
		"Fri, 06 anF 2026 08:49:37 GMT", "Fri, 06 Nov 2026 08:49:37 UTC", "Friday, 06-Nov-26 08:49:37 GMT", "Fri, 0x Nov 2026 08:49:37 GMT",
	} {
		f(bad, heads{{"Date", bad}}, time.Time{})
	}
	for month := time.January; month <= time.December; month++ {
		at := time.Date(2027, month, 28, 23, 59, 59, 0, time.UTC)
		f(month.String(), heads{{"Date", at.Format("Mon, 02 Jan 2006 15:04:05 GMT")}}, at)
	}
}
