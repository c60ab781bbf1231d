//go:build e2e

package e2e

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ksyun-tap/ksyun-tap/internal/freeport"
	"github.com/ksyun-tap/ksyun-tap/internal/testfile"

	"github.com/ksyun-tap/ksyun-tap/internal/demo/cloudmonitor"
)

// day simulates a day, or an hour, of two taps within minutes: real taps, a
// simulated API, and programs that call it as the script says. The metrics of a
// tap after each minute of the script get that minute's timestamp, and are read
// by a real Prometheus.
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

// event is a number of calls of one kind in one minute at one tap.
type event struct {
	minute, tap int
	*kind
	n int
}

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

// dayTap is one of the day's taps.
type dayTap struct {
	*runningTap
	name    string
	args    []string
	traffic *cloudmonitor.Traffic
	// want is the expected values of its counters at the end of a minute.
	want map[string]float64
	// seen is its metrics at some minutes, by series.
	seen map[int]map[string]float64
}

// play plays a script and returns it with a Prometheus that has it, recorded
// series included.
func play(t *testing.T, script []phase, end int, moments []int) *day {
	t.Helper()
	d := &day{t: t, begin: time.Now().UTC().Truncate(24 * time.Hour).Add(-24 * time.Hour), script: script, end: end, moments: moments}
	dir := t.TempDir()
	file, err := os.Create(filepath.Join(dir, "day.om"))
	require.NoError(t, err)
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
	require.NoError(t, d.text.Flush())
	for _, tap := range d.taps {
		tap.stop(syscall.SIGTERM)
	}
	d.load(file.Name(), filepath.Join(dir, "data"))
	return d
}

// stage holds the servers and programs around the taps.
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
		csm: freeport.TCP(t), own: freeport.TCP(t), transparent: freeport.TCP(t),
		older: filepath.Join(dir, "ksyun-tap-1"), newer: filepath.Join(dir, "ksyun-tap-2"),
	}
	for version, binary := range map[string]string{"1.0.0": s.older, "1.1.0": s.newer} { // without the race detector, which makes a day long
		require.NoError(t, build(binary, "-ldflags", "-X github.com/prometheus/common/version.Version="+version))
	}
	connect := "upstream.connect-to: [\"" + apiHost + ":443=" + secure + "\", \"other.example:80=" + s.other + "\", \"other.example:443=" + s.other + "\", \"" + apiHost + ":80=%s\"%s]\n"
	s.goodConfig = fmt.Sprintf(connect, plain.Listener.Addr(), ", \"path.api.ksyun.com:80="+plain.Listener.Addr().String()+"\"")
	s.deadConfig = fmt.Sprintf(connect, plain.Listener.Addr(), ", \"path.api.ksyun.com:80="+freeport.TCP(t)+"\"")
	testfile.Write(t, s.settings, s.goodConfig, 0o600)

	common := []string{"--config.file=" + s.settings, "--upstream.ca-file=" + vendorCA, "--tap.other-hosts=forward"}
	d.taps[0] = &dayTap{name: tapNames[0], args: append(slices.Clone(common),
		"--intercept", "--intercept.ca-dir="+s.caDir, "--csm.listen-address="+s.csm, "--transparent.listen-address="+s.transparent,
		"--resign.listen-address="+s.own, "--resign.allow=127.0.0.2/32", "--resign.credentials-file="+keyFile(t, good),
		"--check-path.interval=200ms", "--check-path.target=http://path.api.ksyun.com", "--journal.path="+filepath.Join(dir, "journal"))}
	// The log of the second tap is on a full disk.
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

// people does what operators do at that minute, such as a reload.
func (d *day) people(s *stage, minute int) {
	first, second := d.taps[0], d.taps[1]
	reloadWith := func(settings string, want int) {
		testfile.Write(d.t, s.settings, settings, 0o600)
		if status, text := reload(d.t, first.admin); status != want {
			d.t.Fatalf("reload: status %d, want %d: %s", status, want, text)
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
		reloadWith("log.levle: info\n", http.StatusInternalServerError)
	case badConfig[1]:
		reloadWith(s.goodConfig, http.StatusOK)
	case tapDown[0] + 1:
		second.stop(syscall.SIGTERM)
	case tapDown[1]:
		d.start(second, s.older)
	case brokenPath[0] + 1:
		reloadWith(s.deadConfig, http.StatusOK)
		pathIs("0")
	case brokenPath[1]:
		reloadWith(s.goodConfig, http.StatusOK)
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

// otherWays makes a call by each way in except the forward proxy, once a
// minute.
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
	// A program that tunnels through the other tap, which has no interception.
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
	// The re-signing address, from an allowed network and from another one.
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
	// A connection to the transparent listener that was not redirected.
	if nc, err := net.Dial("tcp", s.transparent); err == nil {
		_, _ = io.Copy(io.Discard, nc)
		nc.Close()
	}
	first.want["ksyun_tap_transparent_connections_refused_total"]++
	// Telemetry of an SDK, and a datagram that is not a record.
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
