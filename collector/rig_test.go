package collector

import (
	"context"
	"errors"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/collector/upstream"
	"github.com/ksyun-tap/ksyun-tap/hostname"
	"github.com/ksyun-tap/ksyun-tap/internal/rawconn"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	patience = rawconn.Patience
	host     = "monitor.api.ksyun.com"

	okResponse = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
)

// event is a call of a sink's method.
type event struct {
	call *classify.Call        // of Begin
	obs  *classify.Observation // of Observe
}

// recorder is a sink that keeps its arguments.
type recorder chan event

func (r recorder) Begin(call *classify.Call) {
	c := *call
	r <- event{call: &c}
}

func (r recorder) Observe(o *classify.Observation) { r <- event{obs: o.Clone()} }

// rig is a proxy between a test's raw client and its raw upstream, which has the
// address of monitor.api.ksyun.com.
type rig struct {
	t     testing.TB
	proxy *Proxy
	addr  string
	back  *net.TCPListener
	sink  recorder

	addrTLS string // where programs begin with TLS
}

func newRig(t testing.TB, change ...func(*Config)) *rig {
	t.Helper()
	r := &rig{t: t, back: rawconn.Listen(t), sink: make(recorder, 64)}
	cfg := Config{
		Classifier:    classify.New(classify.DefaultCatalog()),
		Sink:          r.sink,
		Policy:        Policy{ConnectTo: []upstream.ConnectTo{r.leadTo(host + ":80")}},
		CredentialKey: []byte("test key"),
	}
	cfg.Timeouts = DefaultTimeouts()
	cfg.Timeouts.Linger = 50 * time.Millisecond
	for _, c := range change {
		if c != nil {
			c(&cfg)
		}
	}
	r.proxy = newProxy(t, cfg)
	ln := rawconn.Listen(t)
	r.addr = ln.Addr().String()
	lnTLS := rawconn.Listen(t)
	r.addrTLS = lnTLS.Addr().String()
	served := make(chan error, 2)
	go func() { served <- r.proxy.Serve(ln) }()
	go func() { served <- r.proxy.ServeTLS(lnTLS) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
		defer cancel()
		r.proxy.Shutdown(ctx)
		for range 2 {
			assert.NoError(t, <-served, "Serve")
		}
		r.back.Close()
	})
	return r
}

func newProxy(t testing.TB, cfg Config) *Proxy {
	t.Helper()
	p, err := New(cfg)
	require.NoError(t, err)
	return p
}

// leadTo redirects connections to from to the rig's upstream.
func (r *rig) leadTo(from string) upstream.ConnectTo {
	r.t.Helper()
	return connectTo(r.t, from+"="+r.back.Addr().String())
}

func connectTo(t testing.TB, s string) upstream.ConnectTo {
	t.Helper()
	c, err := upstream.ParseConnectTo(s)
	require.NoError(t, err)
	return c
}

func patterns(t testing.TB, names ...string) hostname.Patterns {
	t.Helper()
	var ps hostname.Patterns
	for _, n := range names {
		p, err := hostname.ParsePattern(n)
		require.NoError(t, err)
		ps = append(ps, p)
	}
	return ps
}

func (r *rig) next() event {
	r.t.Helper()
	return rawconn.Receive(r.t, r.sink, "nothing was reported to the sink")
}

// begun returns the next call, which Begin must have announced.
func (r *rig) begun() *classify.Call {
	r.t.Helper()
	e := r.next()
	if e.call == nil {
		r.t.Fatalf("Observe before Begin: %+v", e.obs)
	}
	return e.call
}

// observed returns the next observation.
func (r *rig) observed() *classify.Observation {
	r.t.Helper()
	e := r.next()
	if e.obs == nil {
		r.t.Fatalf("Begin without Observe: %+v", e.call)
	}
	return e.obs
}

// silent checks that the sink was not called again.
func (r *rig) silent() {
	r.t.Helper()
	assert.NoError(r.t, r.proxy.Shutdown(r.t.Context()))
	if len(r.sink) > 0 {
		r.t.Errorf("the sink got %+v", <-r.sink)
	}
}

func (r *rig) client() *rawconn.Conn {
	r.t.Helper()
	return rawconn.Dial(r.t, r.addr)
}

func (r *rig) upstream() *rawconn.Conn {
	r.t.Helper()
	return rawconn.Accept(r.t, r.back)
}

// untouched checks that there was no connection to the upstream.
func (r *rig) untouched() {
	r.t.Helper()
	r.back.SetDeadline(time.Now().Add(rawconn.Moment))
	if _, err := r.back.Accept(); !errors.Is(err, os.ErrDeadlineExceeded) {
		r.t.Errorf("the upstream was connected to (%v)", err)
	}
}

// request is a plain GET for a host.
func request(host string) string {
	return "GET /?Action=ListMetrics&Version=2010-05-25 HTTP/1.1\r\nHost: " + host + "\r\n\r\n"
}

// viaProxy puts a request in origin form into absolute form.
func viaProxy(req string) string { return strings.Replace(req, " /", " http://"+host+"/", 1) }

// cut shuts the proxy down without waiting for what runs.
func (r *rig) cut() {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	r.proxy.Shutdown(ctx)
}
