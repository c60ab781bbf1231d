//go:build linux

package main

import (
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestMain is the command itself where a test starts it in a role.
func TestMain(m *testing.M) {
	flag.Parse()
	if *role != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

const number = "000000000042"

func TestResponse(t *testing.T) {
	a := newResponses(1 << 10)
	n := len(a.success.body)
	assert.Equal(t, 1<<10, n, "a success has %d bytes, want 1024", n)
	good := string(a.success.fill([]byte(number)))
	head, body, _ := strings.Cut(good, "\r\n\r\n")
	middle := len(body) / 2
	altered := body[:middle] + "#" + body[middle+1:]
	for _, c := range []struct{ name, wire, want string }{
		{"as sent", good, ""},
		{"other fields", "HTTP/1.1 200 OK\r\nVia: x\r\ncontent-length:1024 \r\n\r\n" + body, ""},
		{"other status", strings.Replace(good, "200 OK", "502 Bad Gateway", 1), "status is not 200"},
		{"other length", strings.Replace(good, "Length: 1024", "Length: 1023", 1), "Content-Length is 1023, want 1024"},
		{"no length", strings.Replace(good, "Content-Length: 1024", "Transfer-Encoding: chunked", 1), "no Content-Length"},
		{"odd length", strings.Replace(good, "Length: 1024", "Length: x", 1), "invalid syntax"},
		{"altered byte", head + "\r\n\r\n" + altered, "the body differs"},
		{"another call's", strings.ReplaceAll(good, number, "000000000043"), "the body differs"},
		{"surplus", good + "x", "the body differs"},
		{"cut short", good[:len(good)-1], "incomplete"},
		{"endless head", strings.Repeat("x", maxHead), "the head is longer"},
	} {
		for _, size := range []int{1, 7, len(c.wire)} {
			err := feedAll(a, c.wire, size)
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("%s in pieces of %d: got %v, want %q", c.name, size, err, c.want)
			}
		}
	}
}

// feedAll feeds pieces of a size to a checker that expects the success of number.
func feedAll(a *responses, wire string, size int) error {
	var r checker
	r.expect(&a.success, []byte(number))
	for piece := range slices.Chunk([]byte(wire), size) {
		if r.offset == len(r.want.body) {
			return fmt.Errorf("the body differs: %q follows it", piece)
		}
		if _, err := r.feed(piece); err != nil {
			return err
		}
	}
	if r.offset < len(r.want.body) {
		return errors.New("incomplete")
	}
	return nil
}

func FuzzResponse(f *testing.F) {
	a := newResponses(200)
	good := string(a.success.fill([]byte(number)))
	f.Add(good)
	f.Add(strings.Replace(good, "Content-Length:", "content-length :", 1))
	f.Fuzz(func(t *testing.T, wire string) {
		whole, bytewise := feedAll(a, wire, max(1, len(wire))), feedAll(a, wire, 1)
		assert.Equal(t, bytewise == nil, whole == nil, "whole: %v, byte by byte: %v", whole, bytewise)
		if _, body, _ := strings.Cut(wire, "\r\n\r\n"); whole == nil && body != string(a.success.body) {
			t.Errorf("accepted %q", body)
		}
	})
}

func TestNumberOf(t *testing.T) {
	request, at := requestBytes()
	copy(request[at:], number)
	assert.Equal(t, number, string(numberOf(request)))
	for _, head := range []string{"", "GET / HTTP/1.1", string(request[:at+digits-1])} {
		got := numberOf([]byte(head))
		assert.Nil(t, got, "%q: got %q, want none", head, got)
	}
}

// newTestClient returns a client of an upstream that answers with responses of its
// own; change may spoil them.
func newTestClient(t *testing.T, w way, connections, errorPercent int, change func(*responses)) (*client, error) {
	t.Helper()
	l, err := newLoop()
	require.NoError(t, err)
	s, err := newSite(t.TempDir(), "", w, 1024)
	require.NoError(t, err)
	theirs := newResponses(60 << 10)
	if change != nil {
		change(theirs)
	}
	s.Upstream, err = l.serve(theirs, s.serverTLS())
	require.NoError(t, err)
	t.Cleanup(l.close)
	p, err := s.launch(direct)
	require.NoError(t, err)
	c, err := l.connect(p.address, p.clientTLS(), connections, newResponses(60<<10), errorPercent)
	if err == nil {
		t.Cleanup(c.close)
	}
	return c, err
}

func TestLoad(t *testing.T) {
	for _, w := range ways {
		t.Run(w.name, func(t *testing.T) {
			c, err := newTestClient(t, w, 5, 10, nil)
			require.NoError(t, err)
			require.NoError(t, c.runCount(995))
			if c.calls != 1000 || len(c.idle) != 5 {
				t.Errorf("%d calls were made and %d connections are idle, want 1000 and 5", c.calls, len(c.idle))
			}
			r, err := c.runClosed(time.Millisecond)
			require.NoError(t, err)
			if n := c.calls - 1000; n < 5 || len(r.latencies) != n {
				t.Errorf("%d latencies of %d calls", len(r.latencies), n)
			}
			r, err = c.runOpen(20*time.Millisecond, time.Millisecond)
			require.NoError(t, err)
			assert.Len(t, r.latencies, 20, "calls in 20 ms at 1,000/s")
		})
	}
}

func TestShareOfErrors(t *testing.T) {
	for percent, want := range map[int]int{0: 0, 10: 20, 100: 200} {
		failures := 0
		c, err := newTestClient(t, ways[0], 1, percent, nil)
		require.NoError(t, err)
		if err := c.runCount(199); err != nil { // connecting made the first
			t.Fatal(err)
		}
		c.calls = 0
		for range 200 {
			c.completed = func(time.Time, time.Duration) bool { return false }
			c.call(c.now())
			if c.request[c.number] == wantError {
				failures++
			}
			require.NoError(t, c.drain())
		}
		assert.Equal(t, want, failures, "%d %%: %d of 200 calls asked for an error, want %d", percent, failures, want)
	}
}

// A run fails if the upstream, or what stands for a proxy, answers differently.
func TestWrongResponsesFail(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*responses)
		want   string
	}{
		{"status", func(a *responses) { copy(a.success.wire, "HTTP/1.1 502") }, "status is not 200"},
		{"byte of the body", func(a *responses) { a.success.body[30<<10] ^= 1 }, "the body differs"},
		{"size", func(a *responses) { *a = *newResponses(59 << 10) }, "Content-Length is"},
		{"response to another call", func(a *responses) { a.success.inBody = 0 }, "the body differs"},
		{"error for a success", func(a *responses) { a.success = a.failure }, "status is not 200"},
		{"bytes behind a response", func(a *responses) { a.success.wire = append(a.success.wire, '!') }, "the body differs"},
	} {
		for _, w := range ways[:2] {
			_, err := newTestClient(t, w, 1, 0, c.change)
			assert.ErrorContains(t, err, c.want, "%s, %s", c.name, w.name)
		}
	}
}

func TestEndedConnectionFails(t *testing.T) {
	l, err := newLoop()
	require.NoError(t, err)
	address, err := l.listen(nil, func(s *sock) {
		s.received = func([]byte, error) bool {
			s.send([]byte("HTTP/1.1 200 OK\r\nContent-"))
			s.close()
			return true
		}
	})
	require.NoError(t, err)
	defer l.close()
	_, err = l.connect(address, nil, 1, newResponses(100), 0)
	assert.ErrorContains(t, err, "a connection ended", "got %v, want that a connection ended", err)
}

// A call that is due while the connection waits has waited since it was due.
func TestFixedRateCountsFromWhenDue(t *testing.T) {
	c, err := newTestClient(t, ways[0], 1, 0, nil)
	require.NoError(t, err)
	clock := time.Unix(0, 0)
	c.now = func() time.Time {
		clock = clock.Add(time.Microsecond)
		return clock
	}
	received, calls := c.callers[0].sock.received, 0
	c.callers[0].sock.received = func(p []byte, err error) bool {
		before := len(c.idle)
		if calls == 10 {
			clock = clock.Add(50 * time.Millisecond) // the upstream halts
			calls++
		}
		done := received(p, err)
		if len(c.idle) > before {
			calls++
		}
		return done
	}
	r, err := c.runOpen(100*time.Millisecond, time.Millisecond)
	require.NoError(t, err)
	slow := 0
	for _, latency := range r.latencies {
		if latency > 20*time.Millisecond {
			slow++
		}
	}
	if len(r.latencies) != 100 || slow < 25 {
		t.Errorf("%d of %d calls have waited more than 20 ms of a halt of 50, want about 30 of 100", slow, len(r.latencies))
	}
}

// The whole way: processes, rounds, figures and tables.
func TestMeasure(t *testing.T) {
	before := openFiles(t)
	defer func() {
		after := openFiles(t)
		assert.LessOrEqual(t, after, before, "%d file descriptors are open, and %d before", after, before)
	}()
	b := &bench{
		names: []string{direct, reverseProxy}, rounds: 2, duration: 10 * time.Millisecond, calls: 100, pairs: 10,
		results: results{byLoad: map[string]measured{}, memory: map[string]map[string]float64{}},
	}
	for _, l := range []load{{ways[0], 1, 1, 10}, {ways[1], 60, 64, 10}, {ways[2], 1, 0, 100}} {
		require.NoError(t, b.measure(l), "%s", l)
		for _, name := range b.names {
			samples := b.results.byLoad[l.String()][name]
			require.Len(t, samples, 2, "%s, %s: %d samples, want 2", l, name, len(samples))
			for _, s := range samples {
				if s.perSecond <= 0 || s.p50 <= 0 || s.p99 < s.p50 || (name == reverseProxy && (s.cpu <= 0 || s.rss < 1<<20)) {
					t.Errorf("%s, %s: %+v", l, name, s)
				}
			}
		}
	}
	require.NoError(t, b.measureMemory(memoryCalls, reverseProxy))
	var out strings.Builder
	b.results.report(&out)
	for _, want := range []string{"| http/1KiB/1/10% | no proxy |", "| intercept/1KiB/rate/100% | ReverseProxy |", " MiB | – | – |\n"} {
		assert.Contains(t, out.String(), want, "the report has no")
	}
}

func openFiles(t *testing.T) int {
	files, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	return len(files)
}

func TestStatistics(t *testing.T) {
	assert.EqualValues(t, 5, median([]float64{9, 1, 5}), "median of three")
	assert.EqualValues(t, 3, median([]float64{4, 1, 2, 9}), "median of four")
	got := median(nil)
	assert.True(t, math.IsNaN(got), "median of none: %v", got)
	var hundred []time.Duration
	for i := range 100 {
		hundred = append(hundred, time.Duration(i+1))
	}
	for q, want := range map[float64]time.Duration{0.5: 50, 0.99: 99, 1: 100} {
		assert.Equal(t, want, percentile(hundred, q), "percentile %v", q)
	}
	m := measured{
		direct: {{p50: 10}, {p50: 10}, {p50: 20}},
		nginx:  {{perSecond: 10, p50: 20}, {perSecond: 20, p50: 30}, {perSecond: 40, p50: 20}},
		tap:    {{perSecond: 10, p50: 15}, {perSecond: 40, p50: 50}, {perSecond: 60, p50: 30}},
	}
	byThree, _ := m.ratios(tap, throughput)
	assert.InDelta(t, math.Sqrt(3)/4, byThree.err, 1e-9)
	byThree.err = 0
	assert.Equal(t, ratio{1.5, 0, 1, 2}, byThree, "throughput")
	// In the last round nginx added nothing.
	byTwo, _ := m.ratios(tap, addedP50)
	assert.Equal(t, ratio{1.25, 0.75, 0.5, 2}, byTwo, "added p50: the error of two values is half their distance")
	_, ok := m.ratios(haproxy, throughput)
	assert.False(t, ok, "a ratio of what was not measured")
}

func TestMedianError(t *testing.T) {
	var hundred []float64
	for i := range 100 {
		hundred = append(hundred, float64(i))
	}
	assert.InDelta(t, 5, medianError(hundred), 1e-9, "of 0 to 99: half of the root of 100")
	assert.Zero(t, medianError([]float64{7}), "of one value")
	assert.Zero(t, medianError([]float64{1, 2, 2, 2, 2, 2, 2, 2, 900}), "outliers do not matter")
}

func TestOrder(t *testing.T) {
	for n := 2; n <= 5; n++ {
		names := contenders[:n]
		first, after := map[string]int{}, map[[2]string]int{}
		for round := range 2 * n {
			turns := order(names, round)
			assert.ElementsMatch(t, names, turns, "round %d", round)
			first[turns[0]]++
			for i := range turns[1:] {
				after[[2]string{turns[i], turns[i+1]}]++
			}
		}
		for _, name := range names {
			assert.Equal(t, 2, first[name], "%d contenders: %s is first", n, name)
		}
		for pair, times := range after {
			assert.Equal(t, times, after[[2]string{pair[1], pair[0]}], "%d contenders: %v and the other way round", n, pair)
		}
	}
}

func TestVerdict(t *testing.T) {
	up, down := goal{metric: throughput, limit: 1.15}, goal{metric: cpuTime, limit: 1}
	for _, c := range []struct {
		g     goal
		value ratio
		want  string
	}{
		{up, ratio{median: 1.19, err: 0.02}, "met"},
		{up, ratio{median: 1.18, err: 0.02}, "undecided"},
		{up, ratio{median: 1.12, err: 0.02}, "undecided"},
		{up, ratio{median: 1.10, err: 0.02}, "missed"},
		{up, ratio{median: 1.15}, "met"},
		{down, ratio{median: 0.95, err: 0.02}, "met"},
		{down, ratio{median: 0.97, err: 0.02}, "undecided"},
		{down, ratio{median: 1.05, err: 0.02}, "missed"},
	} {
		assert.Equal(t, c.want, c.g.verdict(c.value), "%v for %v", c.value, c.g.limit)
	}
}

func TestGoals(t *testing.T) {
	r := results{
		byLoad: map[string]measured{
			"http/1KiB/64/10%":   {nginx: {{perSecond: 100}}, tap: {{perSecond: 115}}, haproxy: {{perSecond: 90}}},
			"https/1KiB/64/10%":  {nginx: {{perSecond: 100}}, tap: {{perSecond: 120}}},
			"https/60KiB/64/10%": {nginx: {{perSecond: 100}}, tap: {{perSecond: 109}}},
			"http/1KiB/1/10%":    {nginx: {{cpu: 100}}, tap: {{cpu: 101}}},
			"http/1KiB/rate/10%": {nginx: {{p50: 1}}},
		},
		memory: map[string]map[string]float64{memoryIdle: {tap: 15 << 20, nginx: 1 << 20}, memoryPairs: {tap: 6<<10 + 512}},
	}
	var out strings.Builder
	r.reportGoals(&out)
	_, got, _ := strings.Cut(out.String(), "|---|---|---|---|---|---|\n")
	want := `| throughput, http, 1 KiB, 64 connections | ≥ 1.15 | **1.15 ± 0.000 (1.15 to 1.15)** | met | 0.90 ± 0.000 (0.90 to 0.90) | – |
| CPU per call, http, 1 KiB, 1 connection | ≤ 1 | **1.01 ± 0.000 (1.01 to 1.01)** | missed | – | – |
| throughput, https upstream, 1 / 60 KiB, 64 connections | ≥ 1.1 / ≥ 1.1 | **1.20 ± 0.000 (1.20 to 1.20) / 1.09 ± 0.000 (1.09 to 1.09)** | met / missed | – / – | – / – |
| memory, idle | ≤ 15.0 MiB | **15.0 MiB** | met | – | – |
| memory per idle pair of connections | ≤ 6.0 KiB | **6.5 KiB** | missed | – | – |
`
	assert.Equal(t, want, got)
}

func TestBusyMachineIsReported(t *testing.T) {
	for others, want := range map[float64]bool{0.05: false, 0.2: true} {
		var out strings.Builder
		r := results{byLoad: map[string]measured{"x": {nginx: {{}, {others: others}, {others: others}}, tap: {{}}}}}
		r.report(&out)
		got := strings.Contains(out.String(), "other programs used up to 20 % of a core")
		assert.Equal(t, want, got, "%v: got %q", others, out.String())
	}
}

func TestSelectRows(t *testing.T) {
	loads, memory, err := selectRows("")
	require.NoError(t, err)
	count := len(withoutGoal)
	seen := map[string]bool{}
	for _, row := range goals {
		for _, g := range row.parts {
			seen[g.load] = true
		}
	}
	if count += len(seen); len(loads)+len(memory) != count || len(memory) != len(memories) {
		t.Errorf("%v and %v, want %d rows", loads, memory, count)
	}
	if loads, memory, err = selectRows("^http/.*/rate/0%|idle"); err != nil || len(loads) != 2 || len(memory) != 1 {
		t.Errorf("got %v, %v, %v", loads, memory, err)
	}
	_, _, err = selectRows("1MiB")
	assert.Error(t, err, "no error for a row that there is not")
	if _, err := selectContenders("nginx,apache"); err == nil {
		t.Error("no error for a contender that there is not")
	}
}
