package classify

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"unsafe"

	"github.com/ksyun-tap/ksyun-tap/hostname"
)

func TestIntern(t *testing.T) {
	table := newInterner(func(text string) word { return word{text: text} })
	b := []byte("ListMetrics")
	one := table.get(b)
	two := table.get([]byte("ListMetrics"))
	if one != "ListMetrics" || unsafe.StringData(one) != unsafe.StringData(two) {
		t.Errorf("%q and %q are not one string", one, two)
	}
	b[0] = 'X'
	if one != "ListMetrics" {
		t.Errorf("the string changed with the bytes: %q", one)
	}
	if table.get(nil) != "" {
		t.Error("nothing gave something")
	}
	if got := testing.AllocsPerRun(100, func() { table.get([]byte("ListMetrics")) }); got != 0 {
		t.Errorf("%v allocations for a known string", got)
	}
}

func TestInternBounds(t *testing.T) {
	table := newInterner(func(text string) word { return word{text: text} })
	long := []byte(strings.Repeat("x", maxInternedBytes+1))
	if got := table.get(long); got != string(long) {
		t.Errorf("%q", got)
	}
	if n := table.count.Load(); n != 0 {
		t.Errorf("%d strings kept, want none", n)
	}
	for i := range 3 * maxInterned {
		s := fmt.Sprint("name", i)
		if got := table.get([]byte(s)); got != s {
			t.Fatalf("%q for %q", got, s)
		}
	}
	if n := table.count.Load(); n > maxInterned || n < maxInterned/2 {
		t.Errorf("%d strings kept, want up to %d", n, maxInterned)
	}
}

func TestInternConcurrently(t *testing.T) {
	table := newInterner(func(text string) word { return word{text: text} })
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range 2000 {
				s := fmt.Sprint("name", i)
				if got := table.get([]byte(s)); got != s {
					t.Errorf("%q for %q", got, s)
				}
			}
		})
	}
	wg.Wait()
	used := 0
	seen := make(map[string]bool)
	for i := range table.slots {
		if s := table.slots[i].Load(); s != nil {
			used++
			seen[s.text] = true
		}
	}
	if used != len(seen) || used != int(table.count.Load()) {
		t.Errorf("%d slots, %d strings, counted %d", used, len(seen), table.count.Load())
	}
}

// TestKnownWords checks that names and hosts are read in the same way, whether or not
// the same bytes were received before, in whatever place.
func TestKnownWords(t *testing.T) {
	for _, raw := range []string{
		"ListMetrics", "listmetrics", "%4cistMetrics", `\u004cistMetrics`, " ListMetrics", "List+Metrics", "List Metrics",
		"AKLTdemo0123456789", "2010-05-25", "monitor.api.ksyun.com", "Monitor.API.ksyun.com:80", "h:80", "[::1]", "::1", "h.", "",
		strings.Repeat("x", maxName), strings.Repeat("x", maxName+1), strings.Repeat("x", maxInternedBytes+1),
	} {
		fresh, known := New(DefaultCatalog()), New(DefaultCatalog())
		known.words.get([]byte(raw))
		for range 2 {
			for _, enc := range []encoding{encodedNot, encodedURL, encodedJSON} {
				p := param{[]byte(raw), enc}
				if got, want := known.name(&p), fresh.name(&p); got.text != want.text || len(got.actions) != len(want.actions) {
					t.Errorf("%q, encoding %d: %q, want %q", raw, enc, got.text, want.text)
				}
			}
			if got, want := known.named([]byte(raw)).lower, fresh.named([]byte(raw)).lower; got != want {
				t.Errorf("%q: %q, want %q", raw, got, want)
			}
			if got, want := known.host([]byte(raw)), string(hostname.AppendLower(nil, []byte(raw))); got != want {
				t.Errorf("%q: host %q, want %q", raw, got, want)
			}
		}
	}
}
