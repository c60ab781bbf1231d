package csm

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/internal/rawconn"
	"github.com/ksyun-tap/ksyun-tap/internal/testfile"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	accessKey = "AKLTcanaryAccessKey0123"
	requestID = "6f3b1c52-0d7e-4b1a-9a3c-2f0e5d7c8b9a"
)

var (
	key        = []byte("0123456789abcdef")
	classifier = sync.OnceValue(func() *classify.Classifier { return classify.New(classify.DefaultCatalog()) })
	// sent is when the records in testdata end.
	sent = time.UnixMilli(1795420800123)
)

// book is a sink that writes down.
type book struct {
	mu       sync.Mutex
	begun    []string
	reported []*classify.Observation
	panics   bool
	taken    chan struct{} // gets a value for each observation, if it is not nil
}

func (b *book) Begin(call *classify.Call) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.begun = append(b.begun, call.Service)
}

func (b *book) Observe(o *classify.Observation) {
	if b.panics {
		panic("sink")
	}
	b.mu.Lock()
	b.reported = append(b.reported, o.Clone())
	b.mu.Unlock()
	if b.taken != nil {
		b.taken <- struct{}{}
	}
}

func (b *book) all() []*classify.Observation {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.reported
}

// newIntake returns an intake that reports to b, at the time the records were sent.
func newIntake(t *testing.T, b *book, change func(*Config)) *Intake {
	t.Helper()
	cfg := Config{Classifier: classifier, Sink: b, CredentialKey: key, Now: func() time.Time { return sent }}
	if change != nil {
		change(&cfg)
	}
	in, err := New(cfg)
	require.NoError(t, err)
	return in
}

// payload returns a record of testdata.
func payload(t testing.TB, name string) []byte {
	t.Helper()
	return testfile.Read(t, "testdata", name+".json")
}

func TestAttempts(t *testing.T) {
	for _, tt := range []struct {
		name     string
		outcome  classify.Outcome
		fault    classify.Fault
		status   int
		code     string
		category classify.Category
		id       string
	}{
		{name: "success", outcome: classify.OutcomeSuccess, status: 200},
		{name: "throttled", outcome: classify.OutcomeError, status: 409, code: "LimitExceeded", category: classify.CategoryThrottled, id: requestID},
		{name: "signature", outcome: classify.OutcomeError, status: 403, code: "SignatureDoesNotMatch", category: classify.CategoryAuth, id: requestID},
		{name: "receiver", outcome: classify.OutcomeError, status: 500, code: "ServiceTimeout", category: classify.CategoryTimeout, id: requestID},
		{name: "unknown-code", outcome: classify.OutcomeError, status: 418, code: "BrandNewError", category: classify.CategoryUnknown, id: requestID},
		{name: "unknown-error", outcome: classify.OutcomeError, status: 502, category: classify.CategoryServer, id: requestID},
		{name: "cut-id", outcome: classify.OutcomeError, status: 400, code: "InvalidParameterValue", category: classify.CategoryRequest},
		{name: "cut-in-id", outcome: classify.OutcomeError, status: 400, code: "InvalidParameterValue", category: classify.CategoryRequest},
		{name: "request-id-field", outcome: classify.OutcomeError, status: 403, code: "AccessDenied", category: classify.CategoryPermission, id: requestID},
		{name: "cause-behind-id", outcome: classify.OutcomeError, status: 503, code: "ServiceUnavailable", category: classify.CategoryServer, id: requestID},
		{name: "gateway-page", outcome: classify.OutcomeError, status: 502, category: classify.CategoryServer},
		{name: "masked", outcome: classify.OutcomeMasked, status: 200, code: "InternalError", category: classify.CategoryUnknown, id: requestID},
		{name: "unreadable-success", outcome: classify.OutcomeProxy, fault: classify.FaultBadResponse, status: 200, category: classify.CategoryServer},
		{name: "broken-off", outcome: classify.OutcomeProxy, fault: classify.FaultClosed, status: 200, category: classify.CategoryNetwork},
		{name: "dns", outcome: classify.OutcomeProxy, fault: classify.FaultDNS, category: classify.CategoryNetwork},
		{name: "refused", outcome: classify.OutcomeProxy, fault: classify.FaultConnRefused, category: classify.CategoryNetwork},
		{name: "dial-timeout", outcome: classify.OutcomeProxy, fault: classify.FaultDialTimeout, category: classify.CategoryTimeout},
		{name: "no-address", outcome: classify.OutcomeProxy, fault: classify.FaultUnreachable, category: classify.CategoryNetwork},
		{name: "no-descriptors", outcome: classify.OutcomeProxy, fault: classify.FaultExhausted, category: classify.CategoryNetwork},
		{name: "read-timeout", outcome: classify.OutcomeProxy, fault: classify.FaultTimeout, category: classify.CategoryTimeout},
		{name: "client-timeout", outcome: classify.OutcomeProxy, fault: classify.FaultTimeout, category: classify.CategoryTimeout},
		{name: "reset", outcome: classify.OutcomeProxy, fault: classify.FaultReset, category: classify.CategoryNetwork},
		{name: "closed", outcome: classify.OutcomeProxy, fault: classify.FaultClosed, category: classify.CategoryNetwork},
		{name: "tls", outcome: classify.OutcomeProxy, fault: classify.FaultTLS, category: classify.CategoryNetwork},
		{name: "cut-url", outcome: classify.OutcomeProxy, fault: classify.FaultUnreachable, category: classify.CategoryNetwork},
		{name: "canceled", outcome: classify.OutcomeCanceled, fault: classify.FaultCanceled},
		{name: "deadline", outcome: classify.OutcomeProxy, fault: classify.FaultTimeout, category: classify.CategoryTimeout},
		{name: "response-timeout", outcome: classify.OutcomeProxy, fault: classify.FaultTimeout, status: 200, category: classify.CategoryTimeout},
	} {
		t.Run(tt.name, func(t *testing.T) {
			in := newIntake(t, &book{}, nil)
			o := in.read(payload(t, tt.name), &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 40001})
			if o == nil {
				t.Fatalf("no observation: %+v", in.Stats())
			}
			v := &o.Verdict
			if v.Outcome != tt.outcome || o.Fault != tt.fault || v.Status != tt.status || v.Code != tt.code || v.Category != tt.category || v.RequestID.String() != tt.id {
				t.Errorf("outcome %q, fault %q, status %d, code %q, category %q, ID %q; want %+v",
					v.Outcome, o.Fault, v.Status, v.Code, v.Category, v.RequestID, tt)
			}
			want := classify.Call{Service: "monitor", Version: "2010-05-25", Action: "GetMetricStatistics", Region: "cn-beijing-6", Signing: classify.SigningNone}
			if o.Call != want {
				t.Errorf("call %+v, want %+v", o.Call, want)
			}
			if !o.End.Equal(sent) || o.Duration() != 38*time.Millisecond {
				t.Errorf("from %v to %v", o.Start, o.End)
			}
			if o.Source != classify.SourceCSM || o.Client != netip.MustParseAddrPort("127.0.0.1:40001") || string(o.UserAgent) == "" {
				t.Errorf("source %q, client %v, agent %q", o.Source, o.Client, o.UserAgent)
			}
			assert.Equal(t, classify.HashAccessKey(key, []byte(accessKey)), o.Credential)
			if strings.Contains(v.Message, accessKey) || strings.Contains(v.Message, "request id") || strings.HasPrefix(v.Message, tt.code+":") && tt.code != "" {
				t.Errorf("message %q", v.Message)
			}
		})
	}
}

func TestOtherSDK(t *testing.T) {
	o := newIntake(t, &book{}, nil).read(payload(t, "other-sdk"), nil)
	want := classify.Call{Service: "monitor", Action: "ListMetrics", Region: "cn-shanghai-2", Host: "monitor.cn-shanghai-2.api.ksyun.com", Signing: classify.SigningNone}
	if o == nil || o.Call != want {
		t.Fatalf("got %+v, want %+v", o, want)
	}
	assert.False(t, o.Client.IsValid(), "client %v of no address", o.Client)
}

// TestWrongClock checks that a time that cannot be is taken for now.
func TestWrongClock(t *testing.T) {
	o := newIntake(t, &book{}, nil).read(payload(t, "wrong-clock"), nil)
	if o == nil || !o.End.Equal(sent) || o.Duration() != 38*time.Millisecond {
		t.Errorf("got %+v", o)
	}
}

// TestCalls checks that a call's record is counted and not reported as an attempt.
func TestCalls(t *testing.T) {
	b := &book{}
	in := newIntake(t, b, nil)
	for _, name := range []string{"call-success", "call-no-retries", "call-exhausted", "call-unsent"} {
		assert.Nil(t, in.read(payload(t, name), nil), "%s: an attempt", name)
	}
	assert.Equal(t, Stats{Datagrams: 4, Calls: 4, AttemptsAnnounced: 6}, in.Stats())
}

// TestHostile checks that invalid datagrams are counted and not reported.
func TestHostile(t *testing.T) {
	replaced := func(name, old, with string) string {
		b := string(payload(t, name))
		require.Contains(t, b, old, "no %s in %s", old, name)
		return strings.Replace(b, old, with, 1)
	}
	malformed := func(s *Stats) { s.Malformed = 1 }
	unknown := func(s *Stats) { s.Unknown = 1 }
	for _, tt := range []struct {
		name, datagram string
		want           func(*Stats)
	}{
		{"empty", "", malformed},
		{"no JSON", "Action=ListMetrics", malformed},
		{"binary", "\x00\xff\xfe", malformed},
		{"no object", "[1]", malformed},
		{"nothing in it", "{}", unknown},
		{"null", "null", unknown},
		{"cut", string(payload(t, "success")[:100]), malformed},
		{"more behind it", string(payload(t, "success")) + "{}", malformed},
		{"nested deeply", strings.Repeat("[", MaxDatagram), malformed},
		{"wrong type of a field", replaced("success", `"HttpStatusCode":200`, `"HttpStatusCode":"200"`), malformed},
		{"fraction", replaced("success", `"AttemptLatency":38`, `"AttemptLatency":3.8`), malformed},
		{"number out of range", replaced("success", "1795420800123", "99999999999999999999"), malformed},
		{"no time", replaced("success", "1795420800123", "0"), malformed},
		{"negative latency", replaced("success", `"AttemptLatency":38`, `"AttemptLatency":-1`), malformed},
		{"endless latency", replaced("success", `"AttemptLatency":38`, `"AttemptLatency":9223372036854775807`), malformed},
		{"no status", replaced("success", `"HttpStatusCode":200`, `"HttpStatusCode":20`), malformed},
		{"no final status", replaced("call-success", `"FinalHttpStatusCode":200`, `"FinalHttpStatusCode":1000`), malformed},
		{"no operation", replaced("success", "GetMetricStatistics", ""), malformed},
		{"no attempts", replaced("call-success", `"AttemptCount":1`, `"AttemptCount":0`), malformed},
		{"endless attempts", replaced("call-success", `"AttemptCount":1`, `"AttemptCount":1000000`), malformed},
		{"other type", replaced("success", "ApiCallAttempt", "ApiCallback"), unknown},
		{"other version", replaced("success", `"Version":1`, `"Version":2`), unknown},
		{"too long", strings.Repeat(" ", MaxDatagram) + string(payload(t, "success")), func(s *Stats) { s.Oversized = 1 }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			in := newIntake(t, &book{}, nil)
			assert.Nil(t, in.read([]byte(tt.datagram), nil), "reported")
			want := Stats{Datagrams: 1}
			tt.want(&want)
			assert.Equal(t, want, in.Stats())
		})
	}
}

// TestNamesAreBounded checks that invalid names do not become labels.
func TestNamesAreBounded(t *testing.T) {
	in := newIntake(t, &book{}, nil)
	for _, bad := range []string{"a b", strings.Repeat("n", 65), "x&Action=y", "<b>", "ü"} {
		d := strings.NewReplacer("GetMetricStatistics", bad, "cn-beijing-6", bad, "monitor-2010-05-25", bad).Replace(string(payload(t, "success")))
		o := in.read([]byte(d), nil)
		if o == nil || o.Call.Action != "" || o.Call.Region != "" || o.Call.Service != "" || o.Call.Version != "" {
			t.Errorf("%q: got %+v", bad, o)
		}
	}
}

// TestErrorsQuoteNothing checks that no error of parsing gives a value away.
func TestErrorsQuoteNothing(t *testing.T) {
	for _, datagram := range []string{
		`{"Type":"ApiCallAttempt","AccessKey":{"` + accessKey + `":1}}`,
		`{"Type":"ApiCallAttempt","HttpStatusCode":"` + accessKey + `"}`,
		`{"Type":"` + accessKey + `"}`,
		`{"Type":"ApiCallAttempt","AccessKey":"` + accessKey + `","Api":""}`,
	} {
		if _, err := parse([]byte(datagram)); err == nil || strings.Contains(err.Error(), "AKLT") {
			t.Errorf("%s: error %v", datagram, err)
		}
	}
}

func TestNewNeeds(t *testing.T) {
	for name, cfg := range map[string]Config{
		"no classifier": {Sink: &book{}, CredentialKey: key},
		"no sink":       {Classifier: classifier, CredentialKey: key},
		"no key":        {Classifier: classifier, Sink: &book{}},
	} {
		_, err := New(cfg)
		assert.Error(t, err, name)
	}
}

// TestServe sends records over a real socket.
func TestServe(t *testing.T) {
	b := &book{taken: make(chan struct{}, 8)}
	in := newIntake(t, b, nil)
	pc, err := new(net.ListenConfig).ListenPacket(t.Context(), "udp", "127.0.0.1:0")
	require.NoError(t, err)
	served := make(chan error, 1)
	go func() { served <- in.Serve(pc) }()

	conn, err := new(net.Dialer).DialContext(t.Context(), "udp", pc.LocalAddr().String())
	require.NoError(t, err)
	defer conn.Close()
	for _, name := range []string{"success", "call-success", "throttled"} {
		if _, err := conn.Write(payload(t, name)); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		rawconn.Receive(t, b.taken, "no observation")
	}
	assert.NoError(t, in.Shutdown(t.Context()))
	assert.NoError(t, <-served)
	if got := b.all(); len(got) != 2 || got[1].Verdict.Code != "LimitExceeded" || got[0].Client.String() != conn.LocalAddr().String() {
		t.Errorf("reported %+v", got)
	}
	require.Len(t, b.begun, 2, "begun")
	assert.Equal(t, "monitor", b.begun[0], "begun")
	assert.NoError(t, in.Shutdown(t.Context()), "second shutdown")
	again, err := new(net.ListenConfig).ListenPacket(t.Context(), "udp", "127.0.0.1:0")
	require.NoError(t, err)
	assert.NoError(t, in.Serve(again), "serve after shutdown")
	assert.ErrorIs(t, again.Close(), net.ErrClosed, "the socket is still open")
}

// TestPanickingSink checks that a sink's panic ends nothing.
func TestPanickingSink(t *testing.T) {
	b := &book{panics: true}
	in := newIntake(t, b, nil)
	in.report(in.read(payload(t, "success"), nil))
	in.report(in.read(payload(t, "success"), nil))
	assert.EqualValues(t, 2, in.Stats().Panics, "panics")
}

// line is a net.PacketConn that works within a synctest bubble.
type line struct {
	datagrams chan []byte
	closed    chan struct{}
	fail      chan error
	once      sync.Once
	deadline  time.Time // set and read by the one reader
}

func newLine() *line {
	return &line{datagrams: make(chan []byte), closed: make(chan struct{}), fail: make(chan error)}
}

func (l *line) ReadFrom(p []byte) (int, net.Addr, error) {
	var late <-chan time.Time
	if !l.deadline.IsZero() {
		timer := time.NewTimer(time.Until(l.deadline))
		defer timer.Stop()
		late = timer.C
	}
	select {
	case d := <-l.datagrams:
		return copy(p, d), nil, nil
	case err := <-l.fail:
		return 0, nil, err
	case <-late:
		return 0, nil, os.ErrDeadlineExceeded
	case <-l.closed:
		return 0, nil, net.ErrClosed
	}
}

func (l *line) SetReadDeadline(t time.Time) error     { l.deadline = t; return nil }
func (l *line) Close() error                          { l.once.Do(func() { close(l.closed) }); return nil }
func (l *line) WriteTo([]byte, net.Addr) (int, error) { return 0, errors.ErrUnsupported }
func (l *line) LocalAddr() net.Addr                   { return nil }
func (l *line) SetDeadline(time.Time) error           { return errors.ErrUnsupported }
func (l *line) SetWriteDeadline(time.Time) error      { return errors.ErrUnsupported }

// TestRecordsWaitForTheProxy checks that a record that comes first waits, and
// no longer than it must.
func TestRecordsWaitForTheProxy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &book{}
		seen := NewSeen(b)
		in := newIntake(t, b, func(c *Config) { c.Seen, c.Now = seen, time.Now })
		pc := newLine()
		served := make(chan error, 1)
		go func() { served <- in.Serve(pc) }()

		pc.datagrams <- payload(t, "throttled") // passed the proxy
		pc.datagrams <- payload(t, "success")   // did not
		synctest.Wait()
		require.Empty(t, b.all(), "reported at once")
		seen.Observe(proxied(409, requestID, time.Now().Add(-30*time.Millisecond), time.Now()))
		<-time.After(hold - time.Millisecond) // of the bubble
		synctest.Wait()
		require.Len(t, b.all(), 1, "reported before their time")
		<-time.After(2 * time.Millisecond)
		synctest.Wait()
		got := b.all()
		if len(got) != 2 || got[0].Source != classify.SourceForward || got[1].Source != classify.SourceCSM {
			t.Errorf("reported %+v", got)
		}
		if s := in.Stats(); s.DuplicatesByID != 1 || s.Attempts != 2 {
			t.Errorf("stats %+v", s)
		}

		pc.datagrams <- payload(t, "success") // is reported at shutdown
		synctest.Wait()
		assert.NoError(t, in.Shutdown(t.Context()))
		assert.NoError(t, <-served)
		assert.Len(t, b.all(), 3, "reported in the end")
	})
}

// TestManyRecordsWait checks that the queue is bounded.
func TestManyRecordsWait(t *testing.T) {
	b := &book{}
	w := waiting{in: newIntake(t, b, func(c *Config) { c.Seen = NewSeen(b) })}
	for range maxHeld + 10 {
		w.add(w.in.read(payload(t, "success"), nil))
	}
	if len(w.queue) != maxHeld || len(b.all()) != 10 {
		t.Errorf("%d wait, %d reported", len(w.queue), len(b.all()))
	}
}

// TestSocketFails checks that an error of the socket is returned.
func TestSocketFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := newIntake(t, &book{}, nil)
		pc := newLine()
		served := make(chan error, 1)
		go func() { served <- in.Serve(pc) }()
		broken := errors.New("broken")
		pc.fail <- broken
		assert.ErrorIs(t, <-served, broken)
		assert.NoError(t, in.Shutdown(t.Context()))
	})
}

// TestShutdownGivesUp checks that a sink that hangs does not hold up Shutdown.
func TestShutdownGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &book{taken: make(chan struct{})}
		in := newIntake(t, b, nil)
		pc := newLine()
		served := make(chan error, 1)
		go func() { served <- in.Serve(pc) }()
		pc.datagrams <- payload(t, "success")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		assert.ErrorIs(t, in.Shutdown(ctx), context.DeadlineExceeded)
		<-b.taken
		assert.NoError(t, <-served)
	})
}
