//go:build linux

package soak

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ksyun-tap/ksyun-tap/internal/freeport"
)

var (
	readersFailures = flag.Int("readers.failures", 4000, "number of failures through each tap of TestReaders")
	readersPause    = flag.Duration("readers.pause", 100*time.Millisecond, "pause of each reader between two requests")
)

// The load of TestReaders.
const (
	readers        = 10
	readersCallers = 8
	readersRounds  = 20
	readersJournal = 10_000
	readersMemory  = 256 << 20 // what docs/operating.md says for a shared tap
	readersFile    = 64 << 20  // the default of --journal.max-bytes
)

// TestReaders sends failing calls through two taps at full speed, in turns: one that ten
// readers search meanwhile, and one that nobody reads. Both keep the journal in a file,
// and evidence. Counts must be exact and memory bounded. The latency of the relay and of
// look-ups is logged.
func TestReaders(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "ksyun-tap")
	out, err := exec.CommandContext(t.Context(), "go", "build", "-C", "../..", "-o", binary, "./cmd/ksyun-tap").CombinedOutput()
	require.NoError(t, err, "%s", out)
	var issued atomic.Uint64
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		id := fmt.Sprintf("%08x-5b1f-4c6e-9d2a-%012x", issued.Add(1), rand.Uint64()>>16)
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusConflict)
		_, _ = fmt.Fprintf(w, `{"RequestId":%q,"Error":{"Type":"Sender","Code":"LimitExceeded","Message":"The request exceeds the limit."}}`, id)
	}))
	defer api.Close()
	read, alone := startReadTap(t, binary, api.Listener.Addr().String()), startReadTap(t, binary, api.Listener.Addr().String())

	each := *readersFailures / readersRounds
	for round := range readersRounds {
		turns := []func(){func() { read.whileRead(func() { read.fail(each) }) }, func() { alone.fail(each) }}
		if round%2 == 1 {
			slices.Reverse(turns)
		}
		for _, turn := range turns {
			turn()
		}
	}
	for name, tap := range map[string]*readTap{"with readers": read, "without": alone} {
		tap.check(name, each*readersRounds)
	}
	t.Logf("relay, %d failures: p50 %v with readers, %v without: %.2f", each*readersRounds, percentile(read.calls, 50), percentile(alone.calls, 50),
		float64(percentile(read.calls, 50))/float64(percentile(alone.calls, 50)))
	t.Logf("relay: p99 %v with readers, %v without: %.2f", percentile(read.calls, 99), percentile(alone.calls, 99),
		float64(percentile(read.calls, 99))/float64(percentile(alone.calls, 99)))
	t.Logf("look-ups: %d, of which %d found nothing, and %d only the second time; p50 %v, p99 %v",
		len(read.lookups), len(read.missing), read.late, percentile(read.lookups, 50), percentile(read.lookups, 99))
	t.Logf("other requests of readers: %d, p50 %v, p99 %v", len(read.pages), percentile(read.pages, 50), percentile(read.pages, 99))
}

// percentile returns a percentile of durations, which it sorts.
func percentile(all []time.Duration, p int) time.Duration {
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	return all[min(len(all)-1, len(all)*p/100)].Round(time.Microsecond)
}

// readTap is a running tap with the latencies of what was done with it.
type readTap struct {
	t           *testing.T
	proxy, page string
	process     *os.Process
	journal     string

	mu                    sync.Mutex
	calls, lookups, pages []time.Duration
	recent                [4096]string // request IDs of failures
	next                  int
	missing               []string // request IDs that a look-up did not find
	late                  int      // how many of them the next one found
}

func startReadTap(t *testing.T, binary, api string) *readTap {
	t.Helper()
	dir := t.TempDir()
	tap := &readTap{t: t, proxy: freeport.TCP(t), page: freeport.TCP(t), journal: filepath.Join(dir, "journal.db")}
	cmd := exec.CommandContext(t.Context(), binary, "run", "--proxy.listen-address="+tap.proxy, "--web.listen-address="+tap.page,
		"--upstream.connect-to="+host+":80="+api, "--journal.path="+tap.journal, "--journal.size="+strconv.Itoa(readersJournal), "--evidence", "--log.file="+filepath.Join(dir, "log"))
	cmd.Stderr = os.Stderr
	require.NoError(t, cmd.Start())
	tap.process = cmd.Process
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	})
	for !tap.ready() {
		select {
		case <-t.Context().Done():
			t.Fatal("the tap does not start")
		case <-time.After(20 * time.Millisecond):
		}
	}
	return tap
}

func (tap *readTap) ready() bool {
	res, err := http.Get("http://" + tap.page + "/-/ready")
	if err != nil {
		return false
	}
	res.Body.Close()
	return res.StatusCode == http.StatusOK
}

// fail makes n calls that fail, on connections that are kept open.
func (tap *readTap) fail(n int) {
	var callers sync.WaitGroup
	var left atomic.Int64
	left.Store(int64(n))
	for range readersCallers {
		callers.Go(func() {
			conn, err := net.Dial("tcp", tap.proxy)
			if err != nil {
				tap.t.Error(err)
				return
			}
			defer conn.Close()
			in := bufio.NewReader(conn)
			var took []time.Duration
			for left.Add(-1) >= 0 {
				start := time.Now()
				_, _ = fmt.Fprintf(conn, "GET http://%s/?Action=%s&Version=2010-05-25&Namespace=kec HTTP/1.1\r\nHost: %[1]s\r\nUser-Agent: soak/1\r\n\r\n", host, actions[rand.IntN(len(actions))])
				res, err := http.ReadResponse(in, nil)
				if err != nil {
					tap.t.Error(err)
					return
				}
				body, err := io.ReadAll(res.Body)
				if err != nil || res.StatusCode != http.StatusConflict {
					tap.t.Errorf("status %d, %v", res.StatusCode, err)
					return
				}
				took = append(took, time.Since(start))
				tap.seen(body)
			}
			tap.mu.Lock()
			tap.calls = append(tap.calls, took...)
			tap.mu.Unlock()
		})
	}
	callers.Wait()
}

var actions = []string{"GetMetricStatistics", "ListMetrics", "GetMetricStatisticsBatch", "DescribeAlarms"}

// seen keeps the request ID of a failure for the readers.
func (tap *readTap) seen(body []byte) {
	_, rest, _ := strings.Cut(string(body), `"RequestId":"`)
	id, _, _ := strings.Cut(rest, `"`)
	tap.mu.Lock()
	tap.recent[tap.next%len(tap.recent)] = id
	tap.next++
	tap.mu.Unlock()
}

// whileRead runs do while the readers read.
func (tap *readTap) whileRead(do func()) {
	stop := make(chan struct{})
	var group sync.WaitGroup
	for range readers {
		group.Go(func() {
			client := &http.Client{Transport: &http.Transport{DisableCompression: true}}
			defer client.CloseIdleConnections()
			for i := rand.IntN(8); ; i++ {
				select {
				case <-stop:
					return
				case <-time.After(time.Duration(rand.Float64() * 2 * float64(*readersPause))):
				}
				tap.read(client, i)
			}
		})
	}
	do()
	close(stop)
	group.Wait()
}

// read makes one request of a reader: every second one is a look-up.
func (tap *readTap) read(client *http.Client, i int) {
	tap.mu.Lock()
	id := "" // of a failure that is not evicted yet
	if i := tap.next - 1 - rand.IntN(len(tap.recent)*3/4); i >= 0 {
		id = tap.recent[i%len(tap.recent)]
	}
	tap.mu.Unlock()
	if id == "" {
		return
	}
	path, lookup := "/api/v1/failures/"+id, i%2 == 0
	if !lookup {
		path = []string{"/", "/?view=list&action=ListMetrics", "/api/v1/failures?text=" + url.QueryEscape(id[:8]), "/failures/" + id, "/api/v1/failures/" + id + "/har", "/api/v1/groups"}[i/2%6]
	}
	start := time.Now()
	res, err := client.Get("http://" + tap.page + path)
	if err != nil {
		tap.t.Error(err)
		return
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	took := time.Since(start)
	gone := res.StatusCode == http.StatusNotFound
	if err != nil || res.StatusCode != http.StatusOK && !gone || !gone && strings.Contains(path, id) && !strings.Contains(string(body), id) {
		tap.t.Errorf("%s: status %d, %v", path, res.StatusCode, err)
	}
	late := lookup && gone && tap.finds(id)
	tap.mu.Lock()
	defer tap.mu.Unlock()
	if !lookup {
		tap.pages = append(tap.pages, took)
		return
	}
	tap.lookups = append(tap.lookups, took)
	if gone {
		tap.missing = append(tap.missing, id)
	}
	if late {
		tap.late++
	}
}

// finds reports whether a look-up finds the failure with the request ID.
func (tap *readTap) finds(id string) bool {
	res, err := http.Get("http://" + tap.page + "/api/v1/failures/" + id)
	if err != nil {
		tap.t.Error(err)
		return false
	}
	res.Body.Close()
	return res.StatusCode == http.StatusOK
}

// check checks that everything was counted, and that memory and file are bounded.
func (tap *readTap) check(name string, n int) {
	t := tap.t
	t.Helper()
	// The queue is empty when everything was counted, or as dropped.
	kept := func() (entries, evicted int) {
		var list struct {
			Data struct {
				Journal struct{ Entries, Evicted int }
			}
		}
		tap.json("/api/v1/failures?limit=1", &list)
		return list.Data.Journal.Entries, list.Data.Journal.Evicted
	}
	inGroups := func() (count int) {
		var groups struct {
			Data struct{ Groups []struct{ Count int } }
		}
		tap.json("/api/v1/groups", &groups)
		for _, g := range groups.Data.Groups {
			count += g.Count
		}
		return count
	}
	var entries, evicted, dropped, grouped int
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(time.Minute); ; <-tick.C {
		entries, evicted = kept()
		dropped = tap.counter("ksyun_tap_observations_dropped_total", map[string]string{"sink": "journal"})
		grouped = inGroups() // a moment later than the journal
		if entries+evicted+dropped >= n && grouped >= n-dropped || time.Now().After(end) {
			break
		}
	}
	counted := tap.counter("ksyun_api_errors_total", nil)
	if entries+evicted+dropped != n || grouped != n-dropped || counted != n {
		t.Errorf("%s: of %d failures %d are counted, %d + %d in the journal, %d in groups, %d dropped", name, n, counted, entries, evicted, grouped, dropped)
	}
	if dropped+evicted == 0 {
		for _, id := range tap.missing {
			assert.True(t, tap.finds(id), "%s: failure %s is not in the journal", name, id)
		}
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", tap.process.Pid))
	require.NoError(t, err)
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	peak, err := strconv.Atoi(strings.Fields(rest)[0])
	require.NoError(t, err)
	file, err := os.Stat(tap.journal)
	require.NoError(t, err)
	if peak<<10 > readersMemory || file.Size() > readersFile || entries > readersJournal {
		t.Errorf("%s: %d KiB of memory, a file of %d bytes, %d entries", name, peak, file.Size(), entries)
	}
	t.Logf("%s: %d counted, %d kept, %d evicted, %d dropped by a full queue; at most %d MiB of memory, file of %d MiB", name, counted, entries, evicted, dropped, peak>>10, file.Size()>>20)
}

func (tap *readTap) json(path string, into any) {
	tap.t.Helper()
	res, err := http.Get("http://" + tap.page + path)
	require.NoError(tap.t, err)
	defer res.Body.Close()
	require.NoError(tap.t, json.NewDecoder(res.Body).Decode(into))
}

// counter returns the sum of a metric's counters with the labels.
func (tap *readTap) counter(name string, labels map[string]string) (sum int) {
	tap.t.Helper()
	res, err := http.Get("http://" + tap.page + "/metrics")
	require.NoError(tap.t, err)
	defer res.Body.Close()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(res.Body)
	require.NoError(tap.t, err)
	for _, m := range families[name].GetMetric() {
		matches := 0
		for _, l := range m.GetLabel() {
			if labels[l.GetName()] == l.GetValue() {
				matches++
			}
		}
		if matches == len(labels) {
			sum += int(m.GetCounter().GetValue())
		}
	}
	return sum
}
