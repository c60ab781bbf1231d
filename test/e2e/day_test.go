//go:build e2e

package e2e

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"maps"
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

	"go.yaml.in/yaml/v3"

	"github.com/ksyun-tap/ksyun-tap/internal/demo/cloudmonitor"
	"github.com/ksyun-tap/ksyun-tap/internal/monitoring/rules"
)

// day is a day of two taps, or an hour, played in minutes: real taps, a simulated
// API, and programs that call it as the script says. What a tap serves on /metrics after
// each of the script's minutes is stamped with that minute's time, and read by
// a real Prometheus.
type day struct {
	t      *testing.T
	begin  time.Time
	script []phase
	end    int // the last minute
	// moments are minutes at which panels are looked at.
	moments []int
	events  []event      // what happened: the ground truth
	sent    atomic.Int64 // calls to the API, as we made them
	served  atomic.Int64 // and as the simulator got them
	taps    [2]*dayTap
	text    *bufio.Writer // OpenMetrics
	prom    *prometheus
}

const minutesOfDay = 24 * 60

// event is a number of calls of one kind in one minute at one tap.
type event struct {
	minute, tap int
	*kind
	n int
}

// kind is a call, and what it is to be taken for: by what the vendor documents,
// not by what the tap says.
type kind struct {
	call                                        cloudmonitor.CallSpec
	outcome, code, typ, status, category, blame string
	items                                       int // that fail
}

func (k *kind) failed() bool { return k.category != "" }

// label is the value of a metric's label.
func (e *event) label(name string) string {
	switch name {
	case "service":
		return "monitor"
	case "namespace":
		return "shop"
	case "job":
		return "ksyun-tap"
	case "action":
		return e.call.Action
	case "version":
		return e.call.Version
	case "region":
		switch {
		case e.call.Sign == "simple": // which has no scope
			return "unknown"
		case e.call.Region != "":
			return e.call.Region
		}
		return "cn-beijing-6"
	case "outcome":
		return e.outcome
	case "code":
		return e.code
	case "type":
		return e.typ
	case "status":
		return e.status
	case "category":
		return e.category
	case "blame":
		return e.blame
	case "instance":
		return tapNames[e.tap]
	}
	panic("no label " + name)
}

var tapNames = [2]string{"tap-1:18180", "tap-2:18180"}

// The calls of the day.
var (
	stats  = cloudmonitor.CallSpec{Action: "GetMetricStatistics", Version: "2010-05-25", As: good, Params: statParams()}
	list   = cloudmonitor.CallSpec{Action: "ListMetrics", Version: "2010-05-25", As: good}
	remote = cloudmonitor.CallSpec{Action: "ListMetrics", Version: "2010-05-25", As: good, Region: "cn-shanghai-2"}
	batch  = cloudmonitor.CallSpec{
		Method: http.MethodPost, Action: "GetMetricStatisticsBatch", Version: "2018-11-14", As: good,
		Body: `{"Namespace":"KEC","Period":"60","StartTime":"2026-11-20T00:00:00Z","EndTime":"2026-11-20T00:10:00Z","Metrics":[` +
			strings.Repeat(`{"InstanceID":"00000000-aaaa-4bbb-8ccc-000000000001","MetricName":"cpu.utilizition.total"},`, 4) +
			`{"InstanceID":"00000000-aaaa-4bbb-8ccc-000000000001","MetricName":"cpu.utilizition.total"}]}`,
	}
)

func statParams() url.Values {
	return url.Values{
		"Namespace": {"KEC"}, "MetricName": {"cpu.utilizition.total"}, "InstanceID": {"00000000-aaaa-4bbb-8ccc-000000000001"},
		"StartTime": {"2026-11-20T00:00:00Z"}, "EndTime": {"2026-11-20T00:10:00Z"}, "Period": {"60"}, "Aggregate": {"Average"},
	}
}

func succeeds(c cloudmonitor.CallSpec) *kind {
	return &kind{call: c, outcome: "success", status: "200"}
}

func with(c cloudmonitor.CallSpec, change func(*cloudmonitor.CallSpec)) cloudmonitor.CallSpec {
	change(&c)
	return c
}

func does(c cloudmonitor.CallSpec, do cloudmonitor.Directive) cloudmonitor.CallSpec {
	c.Do = do
	return c
}

var (
	wellStats  = succeeds(stats)
	wellList   = succeeds(list)
	wellRemote = succeeds(remote)
	wellBatch  = succeeds(batch)
	slow       = succeeds(does(stats, cloudmonitor.Directive{Delay: 150 * time.Millisecond}))
	long       = succeeds(with(stats, func(c *cloudmonitor.CallSpec) {
		c.Params = statParams()
		c.Params.Set("EndTime", "2026-11-20T12:00:00Z")
	}))

	wrongKey = &kind{with(stats, func(c *cloudmonitor.CallSpec) { c.As.SecretKey = "rotated" }), "error", "SignatureDoesNotMatch", "sender", "403", "auth", "credential", 0}
	noPolicy = &kind{with(stats, func(c *cloudmonitor.CallSpec) { c.As = denied }), "error", "InvalidAuthenticationCode", "sender", "403", "permission", "credential", 0}
	skewed   = &kind{
		with(list, func(c *cloudmonitor.CallSpec) { c.Sign, c.Skew, c.Params = "simple", -time.Hour, url.Values{} }),
		"error", "InvalidTimestamp", "sender", "400", "clock", "credential", 0,
	}
	tooMany   = &kind{does(stats, cloudmonitor.Directive{Error: "LimitExceeded"}), "error", "LimitExceeded", "sender", "409", "throttled", "quota", 0}
	timeOut   = &kind{does(stats, cloudmonitor.Directive{Error: "ServiceTimeout"}), "error", "ServiceTimeout", "receiver", "500", "timeout", "provider", 0}
	regionOut = &kind{does(remote, cloudmonitor.Directive{Error: "ServiceUnavailable", Status: 503}), "error", "ServiceUnavailable", "receiver", "503", "server", "provider", 0}
	masked    = &kind{does(stats, cloudmonitor.Directive{Error: "ServiceTimeout", Status: 200}), "masked", "ServiceTimeout", "receiver", "200", "timeout", "provider", 0}
	partial   = &kind{does(batch, cloudmonitor.Directive{Partial: 2}), "partial", "none", "sender", "200", "permission", "credential", 2} // the items' messages speak of a policy
	unknown   = &kind{does(list, cloudmonitor.Directive{Error: "BrandNewError", Status: 418}), "error", "BrandNewError", "sender", "418", "unknown", "client", 0}
	reset     = &kind{does(list, cloudmonitor.Directive{Fault: "reset"}), "proxy", "none", "unknown", "none", "network", "network", 0}
	odd       = &kind{does(list, cloudmonitor.Directive{Error: "ServiceTimeout", Status: 700}), "error", "ServiceTimeout", "receiver", "_other", "timeout", "provider", 0}
	dryRun    = &kind{call: with(stats, func(c *cloudmonitor.CallSpec) {
		c.Params = statParams()
		c.Params.Set("DryRun", "true")
	}), outcome: "dry_run", status: "412"}
	hanging = &kind{call: with(list, func(c *cloudmonitor.CallSpec) { c.Do.Fault, c.Version = "hang", "2010-05-25" }), outcome: "canceled", status: "none"}
)

// phase is what happens on top of the usual from one minute to before another.
type phase struct {
	name     string
	from, to int
	tap      int
	call     *kind
	each     int // calls a minute
}

func hours(h float64) int { return int(h * 60) }

var dayScript = []phase{
	{"usual", 0, minutesOfDay, 0, wellStats, 2},
	{"usual", 0, minutesOfDay, 0, wellList, 1},
	{"usual", 0, minutesOfDay, 0, wellRemote, 1},
	{"usual", 0, minutesOfDay, 0, wellBatch, 1},
	{"usual", 0, hours(21), 1, wellList, 1},
	{"usual", hours(22), minutesOfDay, 1, wellList, 1},

	{"keys were rotated", hours(2), hours(3), 0, wrongKey, 4},
	{"too many calls", hours(4), hours(5), 0, tooMany, 4},
	{"slow", hours(5), hours(5.5), 0, slow, 1},
	{"outage", hours(6), hours(7), 0, timeOut, 8},
	{"one region fails", hours(8), hours(9), 0, regionOut, 4},
	{"errors inside 200", hours(10), hours(11), 0, masked, 2},
	{"partial responses", hours(12), hours(13), 0, partial, 4},
	{"no policy", hours(13), hours(14), 0, noPolicy, 3},
	{"clock off", hours(14), hours(15), 0, skewed, 2},
	{"a new code", hours(15), hours(16), 0, unknown, 2},
	{"resets", hours(16), hours(17), 0, reset, 2},
	{"dry runs", hours(17), hours(17.9), 0, dryRun, 2},
	{"statuses of no sense", hours(23), minutesOfDay, 1, odd, 1},
	{"long responses", hours(23), minutesOfDay, 1, long, 1},
}

// Times of what is no call through the proxy.
var (
	deployAt   = hours(18)
	badConfig  = [2]int{hours(19), hours(19.5)}
	waysIn     = [2]int{hours(20), hours(20.6)}
	tapDown    = [2]int{hours(21), hours(22)} // of the second tap
	brokenPath = [2]int{hours(22), hours(23)}
	hangs      = [2]int{hours(3.2), hours(3.5)}
)

func during(span [2]int, minute int) bool { return span[0] <= minute && minute < span[1] }

// once is a call of one minute.
func once(minute, tap int, k *kind, calls int) phase {
	return phase{"once", minute - 1, minute, tap, k, calls}
}

// hourScript is a quiet hour: 735 calls, of which 14 fail, by 8 codes.
var hourScript = []phase{
	{"usual", 0, 60, 0, wellStats, 6},
	{"usual", 0, 60, 0, wellList, 2},
	{"usual", 0, 60, 0, wellBatch, 1},
	{"usual", 0, 60, 1, wellList, 3},
	once(30, 0, wellRemote, 1),

	once(1, 0, wrongKey, 1), once(33, 1, wrongKey, 2),
	once(8, 0, noPolicy, 1), once(52, 1, noPolicy, 1),
	once(12, 1, skewed, 1),
	once(19, 0, tooMany, 2),
	once(23, 0, timeOut, 1),
	once(27, 0, regionOut, 1),
	once(41, 0, masked, 1),
	once(44, 0, partial, 1),
	once(47, 0, reset, 1),
	once(60, 1, unknown, 1),
}

// dayMoments are minutes in the midst of everything, when all rates are steady.
var dayMoments = []int{
	hours(1), hours(2.5), hours(3.4), hours(4.5), hours(5.3), hours(6.5), hours(8.5), hours(10.5), hours(12.5), hours(13.5), hours(14.5),
	hours(15.5), hours(16.5), hours(17.5), hours(19.3), hours(20.5), hours(21.5), hours(22.5), hours(23.5), minutesOfDay,
}

// dayTap is one of the day's taps.
type dayTap struct {
	*runningTap
	name    string
	args    []string
	traffic *cloudmonitor.Traffic
	// want is what its counters are to come to before a minute is over.
	want map[string]float64
	// seen is what it served at some minutes, by series.
	seen map[int]map[string]float64
}

// play plays a script and returns it with a Prometheus that has it, recorded
// series included.
func play(t *testing.T, script []phase, end int, moments []int) *day {
	t.Helper()
	d := &day{t: t, begin: time.Now().UTC().Truncate(24 * time.Hour).Add(-24 * time.Hour), script: script, end: end, moments: moments}
	dir := t.TempDir()
	file, err := os.Create(filepath.Join(dir, "day.om"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	d.text = bufio.NewWriterSize(file, 1<<20)
	stage := d.raise()
	var hang context.CancelFunc
	for minute := range d.end + 1 {
		if minute > 0 {
			d.people(stage, minute)
			for _, p := range d.script {
				if p.from < minute && minute <= p.to {
					for range p.each {
						d.send(p.tap, minute, p.call)
					}
				}
			}
			switch minute {
			case hangs[0] + 1:
				hang = d.hang()
			case hangs[1]:
				hang()
				d.note(0, minute, hanging)
			}
			if during(waysIn, minute-1) {
				d.otherWays(stage, minute)
			}
		}
		d.scrape(minute)
	}
	if d.sent.Load() != d.served.Load() {
		t.Errorf("the API got %d calls, %d were made", d.served.Load(), d.sent.Load())
	}
	fmt.Fprintln(d.text, "# EOF")
	if err := d.text.Flush(); err != nil {
		t.Fatal(err)
	}
	for _, tap := range d.taps {
		tap.stop(syscall.SIGTERM)
	}
	d.load(file.Name(), filepath.Join(dir, "data"))
	return d
}

// stage is what stands around the taps.
type stage struct {
	settings, deadConfig, goodConfig string
	caDir                            string
	other                            string // address of a host that is not tapped
	csm, own, transparent            string // addresses
	older, newer                     string // binaries of two versions
}

func (d *day) raise() *stage {
	t := d.t
	t.Helper()
	api := cloudmonitor.New(cloudmonitor.Config{Credentials: []cloudmonitor.Credential{good, denied}})
	counted := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" || r.URL.Query().Get("Signature") != "" { // not a check of the path
			d.served.Add(1)
		}
		api.ServeHTTP(w, r)
	})
	plain := httptest.NewServer(counted)
	t.Cleanup(plain.Close)
	secure, vendorCA := serveTLS(t, counted, apiHost)
	other := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(other.Close)

	dir := t.TempDir()
	s := &stage{
		settings: filepath.Join(dir, "ksyun-tap.yaml"), caDir: filepath.Join(dir, "ca"), other: other.Listener.Addr().String(),
		csm: freeAddress(t), own: freeAddress(t), transparent: freeAddress(t),
		older: filepath.Join(dir, "ksyun-tap-1"), newer: filepath.Join(dir, "ksyun-tap-2"),
	}
	for version, binary := range map[string]string{"1.0.0": s.older, "1.1.0": s.newer} { // without the race detector, which makes a day long
		if out, err := exec.Command("go", "build", "-C", "../..", "-ldflags", "-X github.com/prometheus/common/version.Version="+version,
			"-o", binary, "./cmd/ksyun-tap").CombinedOutput(); err != nil {
			t.Fatalf("build: %v\n%s", err, out)
		}
	}
	connect := "upstream.connect-to: [\"" + apiHost + ":443=" + secure + "\", \"other.example:80=" + s.other + "\", \"other.example:443=" + s.other + "\", \"" + apiHost + ":80=%s\"%s]\n"
	s.goodConfig = fmt.Sprintf(connect, plain.Listener.Addr(), ", \"path.api.ksyun.com:80="+plain.Listener.Addr().String()+"\"")
	s.deadConfig = fmt.Sprintf(connect, plain.Listener.Addr(), ", \"path.api.ksyun.com:80="+freeAddress(t)+"\"")
	writeFile(t, s.settings, s.goodConfig)

	common := []string{"--config.file=" + s.settings, "--upstream.ca-file=" + vendorCA, "--tap.other-hosts=forward"}
	d.taps[0] = &dayTap{name: tapNames[0], args: append(slices.Clone(common),
		"--intercept", "--intercept.ca-dir="+s.caDir, "--csm.listen-address="+s.csm, "--transparent.listen-address="+s.transparent,
		"--resign.listen-address="+s.own, "--resign.allow=127.0.0.2/32", "--resign.credentials-file="+keyFile(t, good),
		"--check-path.interval=200ms", "--check-path.target=http://path.api.ksyun.com")}
	// The second one's log is on a disk that is full.
	d.taps[1] = &dayTap{name: tapNames[1], args: append(common, "--tap.inspect-size=2KiB", "--log.file=/dev/full")}
	for _, tap := range d.taps {
		tap.seen = map[int]map[string]float64{}
		d.start(tap, s.older)
	}
	return s
}

// startingLines is how many lines a tap logs as it starts. The second one's are
// lost.
const startingLines = 3

// start starts or restarts a tap.
func (d *day) start(tap *dayTap, program string) {
	tap.runningTap, tap.want = startSilent(d.t, program, tap.args...), map[string]float64{"ksyun_tap_queue_length": 0}
	if tap == d.taps[1] {
		tap.want["ksyun_tap_observations_dropped_total"] = startingLines
	}
	if slices.Contains(tap.args, "--check-path.interval=200ms") {
		eventually(d.t, "the way is checked", func() bool {
			_, text := get(d.t, "http://"+tap.admin+"/metrics")
			return strings.Contains(text, "\nksyun_tap_path_check_success 1\n")
		})
	}
	tap.traffic = &cloudmonitor.Traffic{
		// On a connection that was used before, the client would send a call that
		// is reset once more.
		Client: &http.Client{Transport: &http.Transport{Proxy: http.ProxyURL(&url.URL{Scheme: "http", Host: tap.proxy}), DisableKeepAlives: true}}, Host: apiHost,
	}
}

// people do what people do at that minute.
func (d *day) people(s *stage, minute int) {
	first, second := d.taps[0], d.taps[1]
	reload := func(settings string, want int) {
		writeFile(d.t, s.settings, settings)
		res, err := http.Post("http://"+first.admin+"/-/reload", "", nil)
		if err != nil {
			d.t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != want {
			d.t.Fatalf("reload: status %d, want %d", res.StatusCode, want)
		}
	}
	pathIs := func(ok string) {
		eventually(d.t, "the way to the API is "+ok, func() bool {
			_, text := get(d.t, "http://"+first.admin+"/metrics")
			return strings.Contains(text, "\nksyun_tap_path_check_success "+ok+"\n")
		})
	}
	switch minute {
	case deployAt:
		first.stop(syscall.SIGTERM)
		d.start(first, s.newer)
	case badConfig[0] + 1:
		reload("log.levle: info\n", http.StatusInternalServerError)
	case badConfig[1]:
		reload(s.goodConfig, http.StatusOK)
	case tapDown[0] + 1:
		second.stop(syscall.SIGTERM)
	case tapDown[1]:
		d.start(second, s.older)
	case brokenPath[0] + 1:
		reload(s.deadConfig, http.StatusOK)
		pathIs("0")
	case brokenPath[1]:
		reload(s.goodConfig, http.StatusOK)
		pathIs("1")
	}
}

// send makes a call and notes it.
func (d *day) send(tap, minute int, k *kind) {
	d.sent.Add(1)
	d.taps[tap].traffic.Send(d.t.Context(), k.call)
	d.note(tap, minute, k)
}

func (d *day) note(tap, minute int, k *kind) {
	d.events = append(d.events, event{minute, tap, k, 1})
	want := d.taps[tap].want
	want["ksyun_api_requests_total"]++
	want["ksyun_api_request_duration_seconds_count"]++
	if k.failed() {
		want["ksyun_api_errors_total"]++
		if tap == 1 {
			want["ksyun_tap_observations_dropped_total"]++
		}
	}
}

// hang begins a call that is given up later.
func (d *day) hang() context.CancelFunc {
	ctx, cancel := context.WithCancel(d.t.Context())
	d.sent.Add(1)
	var wg sync.WaitGroup
	wg.Go(func() { d.taps[0].traffic.Send(ctx, hanging.call) })
	eventually(d.t, "the call hangs", func() bool {
		_, text := get(d.t, "http://"+d.taps[0].admin+"/metrics")
		return strings.Contains(text, `ksyun_api_requests_in_flight{service="monitor"} 1`)
	})
	return func() { cancel(); wg.Wait() }
}

// otherWays has calls reach the taps by every way but the forward proxy, once a
// minute each.
func (d *day) otherWays(s *stage, minute int) {
	first, second := d.taps[0], d.taps[1]
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(must(os.ReadFile(filepath.Join(s.caDir, "ca.pem"))))
	https := func(tap *dayTap, roots *x509.CertPool) error {
		client := &http.Client{Transport: &http.Transport{
			Proxy: http.ProxyURL(&url.URL{Scheme: "http", Host: tap.proxy}), TLSClientConfig: &tls.Config{RootCAs: roots}, DisableKeepAlives: true,
		}}
		r := must(http.NewRequest(http.MethodGet, "https://"+apiHost+"/?Action=ListMetrics&Version=2010-05-25", nil))
		r.Header.Set("Accept", "application/json")
		cloudmonitor.SignV4(r, nil, good, cloudmonitor.Scope{Region: "cn-beijing-6", Service: "monitor"}, time.Now(), "accept")
		res, err := client.Do(r)
		if err == nil {
			_, _ = io.Copy(io.Discard, res.Body)
			res.Body.Close()
		}
		return err
	}
	// A program that trusts the CA, and one that does not.
	d.sent.Add(1)
	if err := https(first, roots); err != nil {
		d.t.Errorf("intercepted: %v", err)
	}
	d.note(0, minute, wellList)
	first.want["ksyun_tap_intercepted_connections_total"]++
	if https(first, x509.NewCertPool()) == nil {
		d.t.Error("a program that trusts nobody got a response")
	}
	first.want["ksyun_tap_intercept_handshake_errors_total"]++
	// One that goes past interception at the other tap, which has none.
	if https(second, x509.NewCertPool()) == nil {
		d.t.Error("a program that trusts nobody got a response")
	}
	second.want["ksyun_tap_tapped_tunnels_total"]++
	// Calls of other hosts.
	if _, err := first.traffic.Client.Get("https://other.example/"); err == nil {
		d.t.Error("TLS with a server that speaks none")
	}
	first.want["ksyun_tap_tunnels_total"]++
	res, err := second.traffic.Client.Get("http://other.example/")
	if err != nil {
		d.t.Error(err)
	} else {
		res.Body.Close()
	}
	// The own address, from where it may be called and from where not.
	d.sent.Add(1)
	from := func(address string) *http.Client {
		return &http.Client{Transport: &http.Transport{
			DialContext:       (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}).DialContext,
			DisableKeepAlives: true,
		}}
	}
	if res, err := from("127.0.0.2").Get("http://" + s.own + "/?Action=ListMetrics&Version=2010-05-25"); err != nil || res.StatusCode != http.StatusOK {
		d.t.Errorf("own address: %v, %v", res, err)
	} else {
		_, _ = io.Copy(io.Discard, res.Body)
		res.Body.Close()
	}
	d.note(0, minute, wellList)
	if _, err := from("127.0.0.1").Get("http://" + s.own + "/"); err == nil {
		d.t.Error("the own address was called from where it may not be")
	}
	first.want["ksyun_tap_resign_connections_refused_total"]++
	// A connection to where only redirected ones should come.
	if nc, err := net.Dial("tcp", s.transparent); err == nil {
		_, _ = io.Copy(io.Discard, nc)
		nc.Close()
	}
	first.want["ksyun_tap_transparent_connections_refused_total"]++
	// Telemetry of an SDK, and what is none.
	nc := must(net.Dial("udp", s.csm))
	defer nc.Close()
	now := time.Now().UnixMilli()
	for _, record := range []string{
		fmt.Sprintf(`{"Version":1,"Type":"ApiCallAttempt","ClientId":"","Service":"monitor-2010-05-25","Api":"ListMetrics","Region":"cn-beijing-6","Timestamp":%d,"AttemptLatency":12,"Fqdn":"monitor.api.ksyun.com","AccessKey":"AK","HttpStatusCode":200}`, now),
		fmt.Sprintf(`{"Version":1,"Type":"ApiCall","ClientId":"","Service":"monitor-2010-05-25","Api":"ListMetrics","Region":"cn-beijing-6","Timestamp":%d,"Latency":12,"AttemptCount":1,"MaxRetriesExceeded":0,"FinalHttpStatusCode":200}`, now),
		"what is no record",
	} {
		_, _ = io.WriteString(nc, record)
	}
	d.note(0, minute, wellList)
	first.want["ksyun_tap_csm_datagrams_total"] += 3
	first.want["ksyun_tap_csm_rejected_total"]++
	first.want["ksyun_tap_csm_attempts_announced_total"]++
}

// scrape scrapes the taps once they have counted all calls of this minute, and
// writes the result with the minute's timestamp.
func (d *day) scrape(minute int) {
	stamp := d.begin.Add(time.Duration(minute) * time.Minute).Unix()
	// Other programs are scraped, too, one of them under the taps' own job.
	for _, target := range []string{`job="ksyun-tap",instance="shop-1:8080"`, `job="node",instance="node-1:9100"`, `job="node",instance="node-2:9100"`} {
		writeScrape(d.text, "process_cpu_seconds_total 1\nprocess_resident_memory_bytes 1e+09\nprocess_start_time_seconds 1\n", `cluster="c",namespace="shop",`+target, stamp)
	}
	for _, tap := range d.taps {
		target := fmt.Sprintf(`cluster="c",namespace="shop",job="ksyun-tap",instance=%q`, tap.name)
		if tap == d.taps[1] && during(tapDown, minute-1) && minute != tapDown[1] {
			fmt.Fprintf(d.text, "up{%s} 0 %d\n", target, stamp)
			continue
		}
		text, values := tap.scrapeAll(d.t, minute)
		tap.seen[minute] = nil
		if d.kept(minute) {
			tap.seen[minute] = values
		}
		writeScrape(d.text, text, target, stamp)
	}
}

// scrapeAll returns the tap's metrics once they include all calls of a minute,
// which is a moment after the programs have their responses.
func (tap *dayTap) scrapeAll(t *testing.T, minute int) (text string, values map[string]float64) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; {
		_, text = get(t, "http://"+tap.admin+"/metrics")
		values = parseScrape(text)
		var missing string
		for metric, want := range tap.want {
			got := sumSeries(values, metric)
			if metric == "ksyun_tap_observations_dropped_total" { // lines of notices are lost, too
				got = min(got, want)
			}
			if got != want {
				missing = fmt.Sprintf("%s is %v, to be %v", metric, got, want)
			}
		}
		if missing == "" {
			return text, values
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s at %s: %s", tap.name, clock(minute), missing)
		}
	}
}

// kept reports whether what was scraped at that minute is used later: at the
// moments, before each as long as counts and rates go back, and at the first.
func (d *day) kept(minute int) bool {
	return minute == 0 || slices.ContainsFunc(d.moments, func(m int) bool { return minute == m || minute == m-2 || minute == m-5 || minute == m-15 })
}

// parseScrape reads the samples of a scrape, by name and labels.
func parseScrape(text string) map[string]float64 {
	values := map[string]float64{}
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if at := strings.LastIndexByte(line, ' '); at > 0 && line[0] != '#' {
			if v, err := strconv.ParseFloat(line[at+1:], 64); err == nil {
				values[line[:at]] = v
			}
		}
	}
	return values
}

// sumSeries adds up the series of a metric.
func sumSeries(values map[string]float64, metric string) float64 {
	var sum float64
	for series, v := range values {
		if name, _, _ := strings.Cut(series, "{"); name == metric {
			sum += v
		}
	}
	return sum
}

// load has a Prometheus read the day, and makes the recorded series of it.
func (d *day) load(file, data string) {
	t := d.t
	d.prom = serveBlocks(t, file, data)
	// Recorded series are made of others that must be there before: each pass
	// makes those of which all is.
	// Those that go on from what they were are made twice, so that they do.
	recorded, again := map[string]bool{}, map[string]bool{}
	all := slices.DeleteFunc(slices.Concat(records()...), func(r rules.Rule) bool { return r.Record == "" })
	for {
		var ready []ruleToRecord
		for _, r := range all {
			itself := strings.Contains(r.Expr, r.Record)
			if recorded[r.Record] && (again[r.Record] || !itself) {
				continue
			}
			if !slices.ContainsFunc(all, func(other rules.Rule) bool {
				return !recorded[other.Record] && other.Record != r.Record && strings.Contains(r.Expr, other.Record)
			}) {
				ready = append(ready, ruleToRecord{Record: r.Record, Expr: rules.Fill(r.Expr)})
			}
		}
		if len(ready) == 0 {
			break
		}
		d.record(data, ready)
		for _, r := range ready {
			recorded[r.Record], again[r.Record] = true, recorded[r.Record]
		}
	}
	// What Prometheus says of alerts whose condition is true, as if none waited.
	var firing []ruleToRecord
	for _, r := range rules.Alerts() {
		labels := maps.Clone(r.Labels)
		labels["alertname"], labels["alertstate"] = r.Alert, "firing"
		firing = append(firing, ruleToRecord{"ALERTS", "group without () (" + rules.Fill(r.Expr) + ")", labels})
	}
	d.record(data, firing)
}

type ruleToRecord struct {
	Record string            `yaml:"record"`
	Expr   string            `yaml:"expr"`
	Labels map[string]string `yaml:"labels,omitempty"`
}

// record has promtool make the series of rules, and Prometheus read them.
func (d *day) record(data string, ready []ruleToRecord) {
	t := d.t
	t.Helper()
	text := must(yaml.Marshal(map[string]any{"groups": []map[string]any{{"name": "pass", "interval": "1m", "rules": ready}}}))
	path := filepath.Join(t.TempDir(), "rules.yaml")
	writeFile(t, path, string(text))
	promtool(t, "tsdb", "create-blocks-from", "rules", "--quiet", "--url="+d.prom.url, "--eval-interval=1m",
		"--start="+strconv.FormatInt(d.begin.Unix(), 10), "--end="+strconv.FormatInt(d.at(d.end).Unix(), 10), "--output-dir="+data, path)
	d.prom.process.stop(syscall.SIGTERM)
	d.prom = serveBlocks(t, "", data)
}

// records are the rules of each group.
func records() (all [][]rules.Rule) {
	for _, g := range rules.Groups() {
		all = append(all, g.Rules)
	}
	return all
}

// at is the time of a minute.
func (d *day) at(minute int) time.Time { return d.begin.Add(time.Duration(minute) * time.Minute) }

// count adds up calls of the minutes that end at minute, by labels.
func (d *day) count(minute, window int, by []string, where func(*event) bool) map[string]float64 {
	sums := map[string]float64{}
	for i := range d.events {
		e := &d.events[i]
		if e.minute <= minute-window || e.minute > minute || where != nil && !where(e) {
			continue
		}
		values := make([]string, len(by))
		for j, l := range by {
			values[j] = e.label(l)
		}
		sums[strings.Join(values, "|")] += float64(e.n)
	}
	return sums
}

// raw is what taps themselves said at a minute, added up by labels.
func (d *day) raw(minute int, metric string, by ...string) map[string]float64 {
	sums := map[string]float64{}
	for _, tap := range d.taps {
		for series, v := range tap.seen[minute] {
			name, labels, _ := strings.Cut(series, "{")
			if name != metric {
				continue
			}
			values := make([]string, len(by))
			for i, label := range by {
				if label == "instance" {
					values[i] = tap.name
					continue
				}
				_, rest, ok := strings.Cut(","+labels, ","+label+`="`)
				if !ok {
					d.t.Fatalf("%s has no label %s", series, label)
				}
				values[i], _, _ = strings.Cut(rest, `"`)
			}
			sums[strings.Join(values, "|")] += v
		}
	}
	return sums
}

// rawChange is by how much what the taps said changed over so many minutes.
func (d *day) rawChange(minute, window int, metric string, by ...string) map[string]float64 {
	changes, before := d.raw(minute, metric, by...), d.raw(minute-window, metric, by...)
	for k := range changes {
		changes[k] -= before[k]
	}
	return changes
}

// jsonText is v, for a message.
func jsonText(v any) string {
	text, _ := json.Marshal(v) // of maps of numbers
	return string(text)
}
