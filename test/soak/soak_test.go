package soak

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/ksyun-tap/ksyun-tap/classify"
)

var soakDuration = flag.Duration("soak.duration", time.Second, "how long TestSoak runs")

// deed is what an upstream does with a request, as its target asks. Each has an
// action of its own, so that metrics distinguish them.
type deed struct {
	name    string
	action  string
	fault   classify.Fault
	outcome classify.Outcome
	status  int
	code    string
	posts   bool // it has a body
	exact   bool // all bytes of requests and responses are counted
}

// unsent reports whether the request does not reach the upstream.
func (d *deed) unsent() bool { return d.name == "refused" || d.name == "down" }

const (
	success  = classify.OutcomeSuccess
	failed   = classify.OutcomeError
	partial  = classify.OutcomePartial
	masked   = classify.OutcomeMasked
	canceled = classify.OutcomeCanceled
	byProxy  = classify.OutcomeProxy
)

var deeds = []deed{
	{"ok", "ListMetrics", classify.FaultNone, success, 200, "", false, true},
	{"post", "PutMetricData", classify.FaultNone, success, 200, "", true, true},
	{"long", "GetMetricStatistics", classify.FaultNone, success, 200, "", false, true},
	{"error", "ListAlarmPolicy", classify.FaultNone, failed, 409, "LimitExceeded", false, true},
	{"partial", "GetMetricStatisticsBatch", classify.FaultNone, partial, 200, "", true, true},
	{"masked", "DescribeAlarmPolicy", classify.FaultNone, masked, 200, "InvalidParameterValue", false, true},
	{"interim", "AddAlarmReceives", classify.FaultNone, success, 200, "", true, true},
	{"until-close", "DescribeAlarmReceives", classify.FaultNone, success, 200, "", false, true},
	{"early", "DeleteAlarmReceives", classify.FaultNone, success, 200, "", true, false}, // reported before the request is whole
	{"half", "GetUserGroup", classify.FaultClosed, byProxy, 200, "", false, false},
	{"nothing", "GetAlertUser", classify.FaultClosed, byProxy, 0, "", false, false},
	{"reset", "DescribeAlertHistories", classify.FaultReset, byProxy, 0, "", false, false},
	{"reset-half", "DescribeInstances", classify.FaultReset, byProxy, 200, "", false, false},
	{"bad", "QueryRange", classify.FaultBadResponse, byProxy, 0, "", false, false},
	{"too-long", "DescribeMonitorProductList", classify.FaultHeadTooLong, byProxy, 0, "", false, false},
	{"down", "DescribePolicyObject", classify.FaultConnRefused, byProxy, 0, "", false, false},
	{"canceled", "ListGrafanaInstances", classify.FaultCanceled, canceled, 0, "", false, false},
	{"canceled-half", "CreateAlarmPolicy", classify.FaultCanceled, canceled, 0, "", true, false},
	{"refused", "DescribeAlertingResources", classify.FaultBadRequest, byProxy, 0, "", false, false},
}

var (
	soakBody = strings.Repeat("Namespace=KEC&", 300)
	soakHead = "HTTP/1.1 200 OK\r\nA: " + strings.Repeat("a", 264_000) + "\r\nContent-Length: 2\r\n\r\n{}"
	soakLong = func() string {
		var b strings.Builder
		for rest := `{"label":"` + strings.Repeat("x", 300_000) + `"}`; rest != ""; {
			n := min(1000, len(rest))
			fmt.Fprintf(&b, "%x\r\n%s\r\n", n, rest[:n])
			rest = rest[n:]
		}
		return "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b.String() + "0\r\n\r\n"
	}()
)

func soakResponse(status int, body string) string {
	return fmt.Sprintf("HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%s", status, len(body), body)
}

// response is what the upstream sends.
func (d *deed) response() string {
	switch d.name {
	case "long":
		return soakLong
	case "error":
		return soakResponse(409, `{"RequestId":"5a6d3c1e-0000-4000-8000-000000000001","Error":{"Code":"LimitExceeded","Message":"slow down"}}`)
	case "partial":
		return soakResponse(200, `{"getMetricStatisticsBatchResults":[],"errorMessage":["no data of one","no data of another"]}`)
	case "masked":
		return soakResponse(200, `{"RequestId":"5a6d3c1e-0000-4000-8000-000000000002","Error":{"Type":"Sender","Code":"InvalidParameterValue","Message":"no such thing"}}`)
	case "interim":
		return "HTTP/1.1 100 Continue\r\n\r\n" + soakResponse(200, "{}")
	case "until-close":
		return "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{}"
	case "half", "reset-half":
		return "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"
	case "bad":
		return "garbage\r\n\r\n"
	case "too-long":
		return soakHead
	case "nothing", "reset", "canceled", "canceled-half", "refused", "down":
		return ""
	}
	return soakResponse(200, "{}")
}

// tally is how often something happened, by number and by which: the sums
// differ if one call was counted twice in place of another.
type tally struct {
	n, sum, squares uint64
	requestBytes    int64
	responseBytes   int64
}

func (t *tally) add(id uint64, requestBytes, responseBytes int64) {
	t.n++
	t.sum += id
	t.squares += id * id
	t.requestBytes += requestBytes
	t.responseBytes += responseBytes
}

func (t *tally) same(o *tally) bool { return t.n == o.n && t.sum == o.sum && t.squares == o.squares }

// ledger is what the programs and the upstream have counted, and what the sink
// received before the exporters.
type ledger struct {
	sinks *soakSinks

	mu                   sync.Mutex
	sent, received, seen map[string]*tally
	begun                uint64
	wrong                map[string]int // observations that do not fit what was done
	waiting              map[uint64]chan struct{}
}

func newLedger(sinks *soakSinks) *ledger {
	return &ledger{sinks: sinks, sent: newTallies(), received: newTallies(), seen: newTallies(), wrong: map[string]int{}, waiting: map[uint64]chan struct{}{}}
}

// Begin and Observe make it a Sink.
func (l *ledger) Begin(c *classify.Call) {
	defer l.sinks.Begin(c)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.begun++
}

func (l *ledger) Observe(o *classify.Observation) {
	defer l.sinks.Observe(o)
	d, id := deedOf(string(o.Target))
	if o.Fault == classify.FaultBadRequest {
		d = &deeds[len(deeds)-1] // whatever its target says
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case d == nil:
		l.wrong[fmt.Sprintf("target %q", o.Target)]++
		return
	case o.Fault != d.fault, d.status != 0 && o.Verdict.Status != d.status && o.Fault == classify.FaultNone:
		l.wrong[fmt.Sprintf("%s: fault %q, status %d", d.name, o.Fault, o.Verdict.Status)]++
	case o.Verdict.Code != d.code:
		l.wrong[fmt.Sprintf("%s: code %q", d.name, o.Verdict.Code)]++
	}
	l.seen[d.name].add(id, o.RequestBytes, o.ResponseBytes)
}

// deedOf returns what a target asks for, and the number of the call.
func deedOf(target string) (*deed, uint64) {
	u, err := url.Parse(target)
	if err != nil {
		return nil, 0
	}
	id, _ := strconv.ParseUint(u.Query().Get("id"), 10, 64)
	for i := range deeds {
		if deeds[i].name == u.Query().Get("do") {
			return &deeds[i], id
		}
	}
	return nil, id
}

// wait returns a channel that is closed once the upstream has got the head of a call.
func (l *ledger) wait(id uint64) <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := make(chan struct{})
	l.waiting[id] = c
	return c
}

func (l *ledger) got(d *deed, id uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.received[d.name].add(id, 0, 0)
	if c := l.waiting[id]; c != nil {
		close(c)
		delete(l.waiting, id)
	}
}

// serve is the upstream of one connection.
func (l *ledger) serve(t *testing.T, raw, nc net.Conn) {
	defer raw.Close()
	br := bufio.NewReader(nc)
	for {
		req, err := http.ReadRequest(br)
		if err != nil {
			return
		}
		d, id := deedOf(req.RequestURI)
		if d == nil {
			t.Errorf("the upstream got %q", req.RequestURI)
			return
		}
		l.got(d, id)
		reset := func() { raw.(*net.TCPConn).SetLinger(0) }
		response := d.response()
		switch d.name {
		case "interim":
			interim, rest, _ := strings.Cut(response, "\r\n\r\n")
			io.WriteString(nc, interim+"\r\n\r\n")
			response = rest
		case "early":
			if _, err := io.WriteString(nc, response); err != nil {
				return
			}
			response = ""
		case "reset":
			reset()
			return
		case "canceled", "canceled-half":
			if _, err := io.Copy(io.Discard, br); err == nil {
				t.Errorf("%s: the upstream saw no reset", d.name)
			}
			return
		}
		if body, err := io.ReadAll(req.Body); err != nil || d.posts && string(body) != soakBody {
			t.Errorf("%s: the upstream got %d bytes of a body (%v)", d.name, len(body), err)
			return
		}
		if _, err := io.WriteString(nc, response); err != nil {
			return
		}
		switch d.name {
		case "reset-half":
			reset()
			return
		case "half", "nothing", "bad", "too-long":
			return
		case "until-close":
			if tc, ok := nc.(*tls.Conn); ok {
				tc.CloseWrite()
			}
			return
		}
	}
}

// soakProgram calls, again and again, on one connection as long as that lasts.
type soakProgram struct {
	l       *ledger
	rng     *rand.Rand
	connect func() (raw *net.TCPConn, nc net.Conn, err error)
	forward bool
	inTLS   bool

	raw *net.TCPConn
	nc  net.Conn
}

// call makes one call and checks what comes back.
func (p *soakProgram) call(id uint64) (err error) {
	d := &deeds[p.rng.IntN(len(deeds))]
	if p.rng.IntN(3) > 0 || d.name == "down" && p.inTLS {
		d = &deeds[p.rng.IntN(4)] // most calls end well
	}
	if p.nc == nil {
		if p.raw, p.nc, err = p.connect(); err != nil {
			return err
		}
		p.raw.SetDeadline(time.Now().Add(time.Hour))
	}
	ended := false
	defer func() {
		if ended || err != nil || p.rng.IntN(50) == 0 {
			p.raw.Close()
			p.nc = nil
		}
	}()

	target, host := fmt.Sprintf("/?Action=%s&Version=2021-01-01&do=%s&id=%d", d.action, d.name, id), host
	if d.name == "down" {
		host = downHost
	}
	if p.forward {
		target = "http://" + host + target
	}
	method, fields, body := "GET", "", ""
	if d.posts {
		method, body = "POST", soakBody
		fields = fmt.Sprintf("Content-Length: %d\r\n", len(body))
	}
	if d.name == "interim" {
		fields += "Expect: 100-continue\r\n"
	}
	if d.name == "refused" {
		fields += "Content-Length: 05\r\n"
	}
	head := fmt.Sprintf("%s %s HTTP/1.1\r\nHost: %s\r\n%s\r\n", method, target, host, fields)
	response := d.response()

	waiting := p.l.wait(id)
	defer func() {
		p.l.mu.Lock()
		defer p.l.mu.Unlock()
		delete(p.l.waiting, id)
		p.l.sent[d.name].add(id, int64(len(head)+len(body)), int64(len(response)))
	}()
	first, last := head+body, ""
	switch d.name {
	case "early", "interim":
		first, last = head, body
	case "canceled-half":
		first = head + body[:len(body)/2]
	}
	if _, err := io.WriteString(p.nc, first); err != nil {
		return fmt.Errorf("%s: %w", d.name, err)
	}
	switch d.name {
	case "refused":
		ended = true
		got, err := io.ReadAll(p.nc)
		if err != nil || !bytes.HasPrefix(got, []byte("HTTP/1.1 400 ")) {
			return fmt.Errorf("refused: %.100q, %w", got, err)
		}
		return nil
	case "down":
		res, err := http.ReadResponse(bufio.NewReader(p.nc), nil)
		if err != nil || res.StatusCode != http.StatusServiceUnavailable {
			return fmt.Errorf("down: %+v, %w", res, err)
		}
		ended = res.Close
		_, err = io.Copy(io.Discard, res.Body)
		return errors.Join(err, res.Body.Close())
	case "canceled", "canceled-half":
		ended = true
		<-waiting
		p.raw.SetLinger(0)
		return nil
	case "interim":
		if err := p.expect("HTTP/1.1 100 Continue\r\n\r\n"); err != nil {
			return err
		}
		response = strings.TrimPrefix(response, "HTTP/1.1 100 Continue\r\n\r\n")
		defer func() { response = d.response() }()
	case "reset", "reset-half":
		ended = true
		got, err := io.ReadAll(p.nc)
		if err == nil || !strings.HasPrefix(response, string(got)) {
			return fmt.Errorf("%s: got %q, %w", d.name, got, err)
		}
		return nil
	case "half", "nothing", "bad", "too-long", "until-close":
		ended = true
		got, err := io.ReadAll(p.nc)
		if string(got) != response || err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
			return fmt.Errorf("%s: got %q, %w", d.name, got, err)
		}
		return nil
	case "early":
		if err := p.expect(response); err != nil {
			return err
		}
		if _, err := io.WriteString(p.nc, last); err != nil {
			return fmt.Errorf("%s: %w", d.name, err)
		}
		return nil
	}
	if _, err := io.WriteString(p.nc, last); err != nil {
		return fmt.Errorf("%s: %w", d.name, err)
	}
	return p.expect(response)
}

func (p *soakProgram) expect(want string) error {
	got := make([]byte, len(want))
	n, err := io.ReadFull(p.nc, got)
	if string(got[:n]) != want {
		return fmt.Errorf("got %.200q (%w), want %.200q", got[:n], err, want)
	}
	return nil
}

// TestSoak has many programs make calls through several ways in, with random faults on
// both sides and continuous reloads. At the end, the programs, the upstream,
// metrics, spans, journal and log must have counted the same calls with the same results.
func TestSoak(t *testing.T) {
	const programs = 24
	sinks := newSoakSinks(t)
	l := newLedger(sinks)
	r := newTap(t, l)
	classifier := classify.New(classify.DefaultCatalog())
	var upstreams, running sync.WaitGroup
	for _, ln := range []net.Listener{r.plain, r.tls} {
		upstreams.Go(func() {
			for {
				raw, err := ln.Accept()
				if err != nil {
					return
				}
				nc := raw
				if ln == r.tls {
					nc = tls.Server(raw, &tls.Config{Certificates: []tls.Certificate{r.certificate}})
				}
				upstreams.Go(func() { l.serve(t, raw, nc) })
			}
		})
	}

	ctx, cancel := context.WithTimeout(t.Context(), *soakDuration)
	defer cancel()
	var ids struct {
		sync.Mutex
		last uint64
	}
	next := func() uint64 {
		ids.Lock()
		defer ids.Unlock()
		ids.last++
		return ids.last
	}
	dialPlain := func() (*net.TCPConn, net.Conn, error) {
		nc, err := net.Dial("tcp", r.address)
		if err != nil {
			return nil, nil, err
		}
		return nc.(*net.TCPConn), nc, nil
	}
	dialTLS := func() (*net.TCPConn, net.Conn, error) {
		raw, nc, err := dialPlain()
		if err != nil {
			return nil, nil, err
		}
		io.WriteString(nc, connect)
		if _, err := io.ReadFull(nc, make([]byte, len(established))); err != nil {
			return nil, nil, err
		}
		tc := tls.Client(nc, &tls.Config{ServerName: host, RootCAs: r.roots})
		return raw, tc, tc.Handshake()
	}
	for i := range programs {
		p := &soakProgram{l: l, rng: rand.New(rand.NewPCG(uint64(i), 1)), connect: dialPlain, forward: i%3 == 1}
		if i%3 == 2 {
			p.connect, p.inTLS = dialTLS, true
		}
		running.Go(func() {
			for ctx.Err() == nil && !t.Failed() {
				assert.NoError(t, p.call(next()), "program %d", i)
			}
			if p.nc != nil {
				p.raw.Close()
			}
		})
	}
	running.Go(func() {
		tick := time.NewTicker(500 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				assert.NoError(t, r.proxy.Reload(r.policy, classifier))
			case <-ctx.Done():
				return
			}
		}
	})
	running.Go(func() { sinks.followJournal(ctx) })
	running.Wait()
	stop, cancelStop := context.WithTimeout(context.Background(), patience)
	defer cancelStop()
	assert.NoError(t, r.proxy.Shutdown(stop))
	r.plain.Close()
	r.tls.Close()
	upstreams.Wait()
	sinks.shutdown(t)

	l.mu.Lock()
	defer l.mu.Unlock()
	var all, refused uint64
	for _, d := range deeds {
		sent, received, seen := l.sent[d.name], l.received[d.name], l.seen[d.name]
		t.Logf("%-13s %8d sent, %8d received, %8d observed", d.name, sent.n, received.n, seen.n)
		all += seen.n
		if d.name == "refused" {
			refused = seen.n
		}
		if d.unsent() {
			if received.n != 0 || seen.n != sent.n {
				t.Errorf("%s: %d sent, %d observed, %d received", d.name, sent.n, seen.n, received.n)
			}
			continue
		}
		if !sent.same(received) || !sent.same(seen) {
			t.Errorf("%s: not the same calls: %+v, %+v, %+v", d.name, *sent, *received, *seen)
		}
		if d.exact && (sent.requestBytes != seen.requestBytes || sent.responseBytes != seen.responseBytes) {
			t.Errorf("%s: %d and %d bytes passed, %d and %d observed", d.name, sent.requestBytes, sent.responseBytes, seen.requestBytes, seen.responseBytes)
		}
	}
	if l.begun != all-refused {
		t.Errorf("%d begun, %d observed", l.begun, all-refused)
	}
	for what, n := range l.wrong {
		t.Errorf("%d times %s", n, what)
	}
	sinks.check(t, l)
	s := r.proxy.Stats()
	if s.OpenClients != 0 || s.OpenUpstreams != 0 || s.Panics != 0 {
		t.Errorf("left behind: %+v", s)
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	t.Logf("%d calls on %d connections, %d of them to the upstream; heap %d MB", all, s.Accepted, s.Dials, m.HeapAlloc>>20)
}
