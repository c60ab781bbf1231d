package main

import (
	"context"
	"crypto/tls"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap/zapcore"
	"golang.org/x/net/dns/dnsmessage"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/collector/upstream/upstreamtest"
	"github.com/ksyun-tap/ksyun-tap/internal/config"
	"github.com/ksyun-tap/ksyun-tap/internal/proxyenv"
	"github.com/ksyun-tap/ksyun-tap/internal/selfsigned"
	"github.com/ksyun-tap/ksyun-tap/internal/testfile"
)

// reloadedTap is a tap whose flags change with a reload.
type reloadedTap struct {
	t    *testing.T
	tap  *tap
	args []string
}

func startReloaded(t *testing.T, args ...string) *reloadedTap {
	t.Helper()
	clearEnvironment(t)
	t.Setenv("OTEL_TRACES_EXPORTER", "console")
	r := &reloadedTap{t: t, args: append([]string{"run", "--proxy.listen-address=127.0.0.1:0", "--web.listen-address=127.0.0.1:0"}, args...)}
	ctx, cancel := context.WithCancel(context.Background())
	var err error
	r.tap, err = newTap(ctx, r.settings(), func() (*config.Settings, error) { return r.settings(), nil }, outputs{log: io.Discard, console: io.Discard}, service{})
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- r.tap.serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		assert.NoError(t, <-done, "serve")
	})
	waitReady(t, "http://"+r.tap.address(wayWeb)+"/-/ready")
	return r
}

func (r *reloadedTap) settings() *config.Settings {
	r.t.Helper()
	c, _, err := parseCommandLine(r.args, io.Discard)
	require.NoError(r.t, err)
	return &c.settings
}

// call sends a request through the tap. It returns the body of the response, or the
// tap's error.
func (r *reloadedTap) call(target string) string {
	r.t.Helper()
	proxy := &url.URL{Scheme: "http", Host: r.tap.address(wayProxy)}
	client := &http.Client{Transport: &http.Transport{Proxy: http.ProxyURL(proxy)}}
	defer client.CloseIdleConnections()
	res, err := client.Get(target)
	require.NoError(r.t, err)
	defer res.Body.Close()
	if fault := res.Header.Get("X-Ksyun-Tap-Error"); fault != "" {
		return fault
	}
	body, err := io.ReadAll(res.Body)
	require.NoError(r.t, err)
	return string(body)
}

// TestReloadApplies changes each setting that a reload applies, and looks at what
// the running tap does before and after.
func TestReloadApplies(t *testing.T) {
	serve := func(text string, cert *tls.Certificate) (address string) {
		s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, text) }))
		if cert != nil {
			s.TLS = &tls.Config{Certificates: []tls.Certificate{*cert}}
			s.StartTLS()
		} else {
			s.Start()
		}
		t.Cleanup(s.Close)
		return s.Listener.Addr().String()
	}
	cert, pem := selfsigned.Certificate("a.example")
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		testfile.Write(t, path, text, 0o600)
		return path
	}
	roots := file("ca.pem", string(pem))
	codes := file("codes.yaml", "entries:\n- code: HouseRule\n  statuses: [400]\n  category: throttled\n  meaning: a rule of the house\n  advice: obey\n  source: test\n  grade: documented\n")
	one, two, secure := serve("one", nil), serve("two", nil), serve("tls", &cert)
	a, b := "--upstream.connect-to=a.example:80="+one, "--upstream.connect-to=b.example:80="+two
	const tapped = "--tap.host=a.example"
	call := func(target string) func(*reloadedTap) string {
		return func(r *reloadedTap) string { return r.call(target) }
	}
	local := upstreamtest.ServeDNS(t, upstreamtest.Addresses(t, "127.0.0.1"))
	empty := upstreamtest.ServeDNS(t, func(q []byte, _ bool) [][]byte {
		return [][]byte{upstreamtest.Reply(t, q, dnsmessage.Header{RCode: dnsmessage.RCodeNameError}, false)}
	})
	tests := map[string]struct {
		base, before, after []string
		observe             func(*reloadedTap) string
		want                [2]string
	}{
		"tap.host":            {[]string{a, b}, []string{tapped}, []string{"--tap.host=b.example"}, call("http://b.example/"), [2]string{"host_refused", "two"}},
		"tap.other-hosts":     {[]string{a, b, tapped}, nil, []string{"--tap.other-hosts=forward"}, call("http://b.example/"), [2]string{"host_refused", "two"}},
		"upstream.connect-to": {[]string{tapped}, []string{a}, []string{"--upstream.connect-to=a.example:80=" + two}, call("http://a.example/"), [2]string{"one", "two"}},
		"upstream.scheme": {
			[]string{tapped, a, "--upstream.connect-to=a.example:443=" + secure, "--upstream.ca-file=" + roots},
			nil,
			[]string{"--upstream.scheme=https"},
			call("http://a.example/"),
			[2]string{"one", "tls"},
		},
		"upstream.ca-file": {
			[]string{tapped, "--upstream.connect-to=a.example:443=" + secure, "--upstream.scheme=https"},
			nil,
			[]string{"--upstream.ca-file=" + roots},
			call("http://a.example/"),
			[2]string{string(classify.FaultTLS), "tls"},
		},
		"upstream.resolver": {[]string{tapped}, []string{"--upstream.resolver=" + local}, []string{"--upstream.resolver=" + empty}, call("http://a.example/"), [2]string{"host_refused", "dns"}},
		// A mark does not show on the other side of a connection.
		"upstream.mark": {nil, nil, []string{"--upstream.mark=7"}, func(r *reloadedTap) string {
			policy, _, err := resolve(r.settings(), &proxyenv.Proxies{})
			require.NoError(t, err)
			return string(rune('0' + policy.Mark))
		}, [2]string{"0", "7"}},
		"tap.catalog-file": {nil, nil, []string{"--tap.catalog-file=" + codes}, func(r *reloadedTap) string {
			return string(r.tap.classifier.Load().Response(nil, &classify.Response{Status: 400, Header: classify.HeaderMap{}, Body: []byte(`{"Error":{"Code":"HouseRule"}}`)}).Category)
		}, [2]string{"unknown", "throttled"}},
		"log.level": {nil, nil, []string{"--log.level=debug"}, func(r *reloadedTap) string {
			if r.tap.log.Core().Enabled(zapcore.DebugLevel) {
				return "debug"
			}
			return "info"
		}, [2]string{"info", "debug"}},
		"traces.success-ratio": {nil, []string{"--traces.success-ratio=0"}, []string{"--traces.success-ratio=1"}, func(r *reloadedTap) string {
			o := &classify.Observation{Verdict: classify.Verdict{Outcome: classify.OutcomeSuccess}}
			if r.tap.traces.Decide(o).Exported {
				return "exported"
			}
			return "dropped"
		}, [2]string{"dropped", "exported"}},
	}
	for _, d := range config.Describe() {
		tt, ok := tests[d.Name]
		if d.Reloads != ok {
			t.Errorf("%s: a reload applies it: %v; tested here: %v", d.Name, d.Reloads, ok)
		}
		if !ok {
			continue
		}
		t.Run(d.Name, func(t *testing.T) {
			r := startReloaded(t, slices.Concat(tt.base, tt.before)...)
			if got := tt.observe(r); got != tt.want[0] {
				t.Errorf("before: %q, want %q", got, tt.want[0])
			}
			r.args = append(r.args[:3:3], slices.Concat(tt.base, tt.after)...)
			require.NoError(t, r.tap.reload())
			if got := tt.observe(r); got != tt.want[1] {
				t.Errorf("after: %q, want %q", got, tt.want[1])
			}
		})
	}
}

// TestReloadKeepsWhatNeedsARestart checks that the API reports the value in use of a
// setting whose change needs a restart, and the value after it, until it is changed back.
func TestReloadKeepsWhatNeedsARestart(t *testing.T) {
	r := startReloaded(t, "--journal.size=10", "--log.level=info")
	for _, tt := range []struct{ size, want string }{
		{"20", `"pending":{"journal.size":{"value":"20","source":"--journal.size"}}`},
		{"10", ""},
	} {
		r.args = append(r.args[:3:3], "--journal.size="+tt.size, "--log.level=debug")
		if err := r.tap.reload(); err != nil {
			t.Fatal(err)
		}
		res, err := http.Get("http://" + r.tap.address(wayWeb) + "/api/v1/status/config")
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		config := string(body)
		if !strings.Contains(config, "\\njournal.size: 10  # --journal.size\\n") || !strings.Contains(config, "\\nlog.level: debug  #") ||
			strings.Contains(config, "pending") != (tt.want != "") || !strings.Contains(config, tt.want) {
			t.Errorf("after a reload with %s: %s", tt.size, config)
		}
	}
}
