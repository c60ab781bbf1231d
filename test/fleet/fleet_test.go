//go:build e2e

// Package fleet finds the failed calls of many taps in a real cluster of VictoriaLogs:
// two storage nodes behind a node that inserts and selects. The log lines are made by
// the packages that a tap writes them with.
package fleet

import (
	"encoding/json"
	"flag"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ksyun-tap/ksyun-tap/internal/lookup"
)

const (
	victoriaLogs = "../../.bin/victoria-logs"
	noTap        = "http://127.0.0.1:1" // so that only VictoriaLogs is asked
)

var (
	failures = flag.Int("failures", 100_000, "number of failures")
	taps     = flag.Int("taps", 1000, "number of taps")
	lookups  = flag.Int("lookups", 500, "number of look-ups in each state of the cluster, about")
)

func TestFleet(t *testing.T) {
	if _, err := os.Stat(victoriaLogs); err != nil {
		t.Skip("there is no VictoriaLogs in .bin: run make fleet, which builds it")
	}
	run := buildTap(t)
	entry, nodes, dirs := cluster(t)
	now := time.Now()
	g := &generator{insert: entry, failures: *failures, taps: *taps, from: now.Add(-23 * time.Hour), to: now.Add(-time.Minute), samples: *lookups}
	samples, err := g.run(t.Context())
	require.NoError(t, err)
	took := time.Since(now)
	total := *failures / *taps * *taps
	until(t, "all are stored", func() bool { return count(t, entry) == total })
	t.Logf("%d failures of %d taps in %v (%.0f a second), %d MiB of lines, %d and %d MiB on disk",
		total, *taps, took.Round(time.Second), float64(total)/took.Seconds(), g.bytes.Load()>>20, size(t, dirs[0]), size(t, dirs[1]))

	u, err := lookup.ParseURL(entry)
	require.NoError(t, err)
	source, err := lookup.NewVictoriaLogs(u, lookup.Clients{})
	require.NoError(t, err)
	search := func(id string) (code int, out, errOut string) {
		return run("lookup", id, "--url="+noTap, "--lookup.victorialogs="+entry)
	}

	found := all(t, "both nodes", source, samples)
	for i, ok := range found {
		if !ok.found || ok.partial {
			t.Errorf("%s of %s is not found (partial %v)", samples[i].requestID, samples[i].tap, ok.partial)
		}
	}
	if code, out, errOut := search(samples[0].requestID); code != 0 || !strings.Contains(out, "From VictoriaLogs "+entry+":\nID ") || strings.Contains(errOut, "incomplete") {
		t.Errorf("lookup: exit %d: %s%s", code, out, errOut)
	}

	nodes[1].stop()
	found = all(t, "one node down", source, samples)
	here, there := -1, -1
	for i, ok := range found {
		if !ok.partial {
			t.Errorf("%s: the response is not said to be incomplete", samples[i].requestID)
		}
		if ok.found {
			here = i
		} else {
			there = i
		}
	}
	if here < 0 || there < 0 {
		t.Fatalf("the failures are all on one node")
	}
	if code, out, errOut := search(samples[here].requestID); code != 0 || !strings.Contains(out, samples[here].requestID) || !strings.Contains(errOut, "incomplete response from VictoriaLogs "+entry) {
		t.Errorf("one that is there: exit %d: %s%s", code, out, errOut)
	}
	if code, out, errOut := search(samples[there].requestID); code != 2 || out != "" || !strings.Contains(errOut, "incomplete response from VictoriaLogs "+entry) {
		t.Errorf("one that is not: exit %d: %s%s", code, out, errOut)
	} else {
		t.Logf("one node down: %s", errOut)
	}

	storage(t, nodes[1].address, dirs[1])
	until(t, "the node is back", func() bool { return count(t, entry) == total })
	for i, ok := range all(t, "both nodes again", source, samples) {
		if !ok.found || ok.partial {
			t.Errorf("%s is not found after the node is back", samples[i].requestID)
		}
	}
}

// result is the result of one look-up.
type result struct{ found, partial bool }

// all looks up all samples, one after another, and logs how long that takes.
func all(t *testing.T, state string, source lookup.Named, samples []sample) []result {
	t.Helper()
	results := make([]result, len(samples))
	times := make([]time.Duration, len(samples))
	n := 0
	for i, s := range samples {
		q, err := lookup.NewQuery(s.requestID, 24*time.Hour, time.Now())
		require.NoError(t, err)
		began := time.Now()
		a, err := source.Find(t.Context(), q)
		times[i] = time.Since(began)
		require.NoError(t, err, s.requestID)
		results[i] = result{len(a.Found) == 1 && a.Found[0].Record.Time.Equal(s.time), a.Partial != ""}
		if results[i].found {
			n++
		}
	}
	slices.Sort(times)
	at := func(share float64) time.Duration {
		return times[int(share*float64(len(times)-1))].Round(time.Millisecond / 10)
	}
	t.Logf("%s: %d of %d found; p50 %v, p99 %v, longest %v", state, n, len(samples), at(0.5), at(0.99), at(1))
	return results
}

// count returns the number of failures in the cluster, or -1 if it does not answer.
func count(t *testing.T, entry string) int {
	t.Helper()
	res, err := http.PostForm(entry+"/select/logsql/query", url.Values{"query": {"event:=ksyun.api.error | stats count() n"}})
	if err != nil {
		return -1
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	var response struct{ N string }
	if err != nil || json.Unmarshal(body, &response) != nil {
		return -1
	}
	n, err := strconv.Atoi(response.N)
	if err != nil {
		return -1
	}
	return n
}
