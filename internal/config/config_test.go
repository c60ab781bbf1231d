package config

import (
	"bytes"
	"errors"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kingpin/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ksyun-tap/ksyun-tap/collector"
	"github.com/ksyun-tap/ksyun-tap/internal/golden"
	"github.com/ksyun-tap/ksyun-tap/internal/testfile"
)

func read(t *testing.T, file File, args ...string) *Settings {
	t.Helper()
	s := &Settings{}
	app := kingpin.New("test", "")
	s.Register(app, file)
	s.RegisterLookup(app, file, "config.file")
	_, err := app.Parse(args)
	require.NoError(t, err)
	return s
}

func TestPrecedence(t *testing.T) {
	const file = "log.level: warn\ntap.host: [file.example]\njournal.size: 7\n"
	f, err := parse("f.yaml", []byte(file))
	require.NoError(t, err)
	if s := read(t, File{}); s.LogLevel != "info" || s.JournalSize != 1000 {
		t.Errorf("default: got %q, %d", s.LogLevel, s.JournalSize)
	}
	if s := read(t, f); s.LogLevel != "warn" || s.JournalSize != 7 || len(s.TapHosts) != 1 || s.TapHosts[0].String() != "file.example" {
		t.Errorf("file: got %q, %d, %v", s.LogLevel, s.JournalSize, s.TapHosts)
	}
	t.Setenv("KSYUN_TAP_LOG_LEVEL", "error")
	t.Setenv("KSYUN_TAP_TAP_HOST", "one.example\ntwo.example")
	if s := read(t, f); s.LogLevel != "error" || s.JournalSize != 7 || len(s.TapHosts) != 2 {
		t.Errorf("environment over file: got %q, %d, %v", s.LogLevel, s.JournalSize, s.TapHosts)
	}
	if s := read(t, f, "--log.level=debug", "--tap.host=flag.example"); s.LogLevel != "debug" || len(s.TapHosts) != 1 || s.TapHosts[0].String() != "flag.example" {
		t.Errorf("flag over all: got %q, %v", s.LogLevel, s.TapHosts)
	}
}

func TestGoodFile(t *testing.T) {
	f, err := Load("testdata/good.yaml")
	require.NoError(t, err)
	s := read(t, f)
	assert.Equal(t, []string{"127.0.0.1:28181"}, s.ProxyListen, "listeners")
	assert.Equal(t, []string{"127.0.0.1:28180", "[::1]:28180"}, s.WebListen, "listeners")
	if len(s.TapHosts) != 2 || s.OtherHosts != collector.OtherForward || s.InspectBytes != 128<<10 || len(s.ConnectTo) != 1 {
		t.Errorf("tap: %v, %v, %d, %v", s.TapHosts, s.OtherHosts, s.InspectBytes, s.ConnectTo)
	}
	if s.LogLevel != "debug" || !s.LogAccess || s.TracesSuccessRatio != 0.5 || s.JournalSize != 42 || s.ShutdownTimeout != 90*time.Second {
		t.Errorf("rest: %+v", s)
	}
}

// TestBadFiles compares the error for every file in testdata/bad with the
// golden list: each is one line that names file and line.
func TestBadFiles(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/*.yaml")
	require.NoError(t, err, "no files")
	require.NotEmpty(t, files, "no files")
	var got bytes.Buffer
	for _, name := range files {
		data := testfile.Read(t, name)
		base := filepath.Base(name)
		_, err = parse(base, data)
		if err == nil {
			t.Errorf("%s: accepted", base)
			continue
		}
		if !strings.HasPrefix(err.Error(), base+":") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: error does not begin with the place, on one line: %v", base, err)
		}
		got.WriteString(err.Error() + "\n")
	}
	golden.Check(t, "testdata/bad.golden", got.Bytes())
}

func TestMissingFile(t *testing.T) {
	_, err := Load("testdata/none.yaml")
	assert.ErrorContains(t, err, "--config.file")
}

func TestValidate(t *testing.T) {
	f := func(want string, args ...string) {
		t.Helper()
		err := read(t, File{}, args...).Validate()
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%v: got %v, want %q", args, err, want)
		}
	}
	f("")
	f("", "--tap.other-hosts=forward")
	f("", "--tap.other-hosts=forward", "--proxy.listen-address=[::1]:1", "--proxy.listen-address=localhost:2")
	f("", "--proxy.listen-address=0.0.0.0:18181")
	f("open proxy", "--tap.other-hosts=forward", "--proxy.listen-address=0.0.0.0:18181")
	f("open proxy", "--tap.other-hosts=forward", "--proxy.listen-address=:18181")
	f("--intercept.ca-dir", "--intercept")
	f("needs --intercept", "--proxy.tls-listen-address=127.0.0.1:443")
	f("open proxy", "--intercept", "--intercept.ca-dir=/ca", "--tap.other-hosts=forward", "--proxy.tls-listen-address=:443")
	f("", "--intercept", "--intercept.ca-dir=/ca")
	f("", "--intercept", "--intercept.ca-dir=/run/tap/ca", "--intercept.publish-dir=/run/tap")
	f("", "--intercept", "--intercept.ca-dir=/ca", "--intercept.publish-dir=/ca-public")
	f("needs --intercept.ca-dir", "--intercept.publish-dir=/public")
	f("is in --intercept.ca-dir", "--intercept", "--intercept.ca-dir=/ca", "--intercept.publish-dir=/ca/")
	f("is in --intercept.ca-dir", "--intercept", "--intercept.ca-dir=/ca/", "--intercept.publish-dir=/ca/public")
	f("", "--resign.listen-address=127.0.0.1:1")
	f("use the credentials", "--resign.listen-address=127.0.0.1:1", "--resign.listen-address=10.0.0.1:1")
	f("use the credentials", "--resign.listen-address=:1", "--resign.cert-file=c", "--resign.key-file=k")
	f("", "--resign.listen-address=:1", "--resign.cert-file=c", "--resign.key-file=k", "--resign.client-ca-file=ca")
	f("", "--resign.listen-address=:1", "--resign.allow=10.1.0.0/16", "--resign.allow=192.0.2.7")
	f("belong together", "--resign.listen-address=127.0.0.1:1", "--resign.cert-file=c")
	f("needs TLS: set --resign.cert-file", "--resign.listen-address=127.0.0.1:1", "--resign.client-ca-file=ca")
	f("an address of its own", "--web.listen-address=127.0.0.1:18181")
	f("would let anyone read the failures", "--web.listen-address=:18180")
	f("would let anyone read the failures", "--web.listen-address=127.0.0.1:18180", "--web.listen-address=192.0.2.1:18180")
	f("", "--web.listen-address=:18180", "--web.admin-listen-address=127.0.0.1:18184")
	f("", "--web.listen-address=:18180", "--web.admin-listen-address=:18180")
	f("", "--web.listen-address=:18180", "--web.config.file=web.yml")
	f("", "--web.listen-address=127.0.0.1:0", "--proxy.listen-address=127.0.0.1:0")
}

// otherValues has a value that differs from the default for every setting.
var otherValues = map[string]string{
	"proxy.listen-address": "127.0.0.1:1", "proxy.tls-listen-address": "127.0.0.1:2", "transparent.listen-address": "127.0.0.1:3",
	"proxy.head-timeout": "7s", "proxy.idle-timeout": "7s", "proxy.stall-timeout": "7s", "proxy.shutdown-timeout": "7s",
	"proxy.max-connections": "7", "proxy.buffer-limit": "7MiB", "web.listen-address": "127.0.0.1:4",
	"web.admin-listen-address": "127.0.0.1:5", "web.enable-lifecycle": "true", "web.enable-pprof": "true",
	"web.config.file": "web.yml", "web.trace-url": "http://a/{trace_id}", "web.logs-url": "http://a/{id}", "tap.host": "a.example", "tap.other-hosts": "forward", "tap.inspect-size": "7KiB",
	"tap.catalog-file": "codes.yaml", "intercept": "true", "intercept.ca-dir": "ca", "intercept.publish-dir": "public",
	"csm.listen-address": "127.0.0.1:6", "credential.key-file": "key", "credential.alias": "ci=file", "quota.limit": "ListMetrics=7",
	"resign.listen-address": "127.0.0.1:7", "resign.upstream": "https://a.api.ksyun.com", "resign.region": "r",
	"resign.service": "s", "resign.credentials-file": "keys.yaml", "resign.client-key-file": "key.yaml",
	"resign.cert-file": "cert.pem", "resign.key-file": "key.pem", "resign.client-ca-file": "ca.pem", "resign.allow": "10.0.0.0/8",
	"upstream.connect-to": "a:80=b:81", "upstream.ca-file": "ca.pem", "upstream.scheme": "https", "upstream.resolver": "10.0.0.1",
	"upstream.mark": "7", "upstream.dial-timeout": "7s", "upstream.response-timeout": "7s", "log.level": "debug",
	"log.format": "logfmt", "log.file": "log", "log.access": "true", "traces.success-ratio": "0.5",
	"check-path.interval": "7s", "check-path.target": "http://a.api.ksyun.com", "journal.size": "7",
	"journal.path": "journal.db", "journal.max-bytes": "7MiB", "journal.max-age": "7h",
	"lookup.dns": "taps:1", "lookup.jaeger": "http://a", "lookup.jaeger-v3": "http://a", "lookup.jaeger-service": "a", "lookup.tempo": "http://a",
	"lookup.loki": "http://a", "lookup.loki-selector": `{app="a"}`, "lookup.victorialogs": "http://a", "lookup.elasticsearch": "http://a",
	"lookup.http-config.file": "clients.yml",
	"evidence":                "true", "evidence.body-size": "7KiB", "evidence.header": "X-Route", "evidence.field": "InstanceID", "evidence.max-bytes": "7MiB", "evidence.max-age": "7h",
}

// fakeLive records with which settings each change was made.
type fakeLive struct {
	made map[string]*Settings
	err  error // of the last change that is prepared
}

func (f *fakeLive) change(name string, s *Settings, err error) (func(), error) {
	return func() { f.made[name] = s }, err
}

func (f *fakeLive) Routing(s *Settings) (func(), error)      { return f.change("routing", s, nil) }
func (f *fakeLive) LogLevel(s *Settings) (func(), error)     { return f.change("log level", s, nil) }
func (f *fakeLive) SuccessRatio(s *Settings) (func(), error) { return f.change("ratio", s, f.err) }

// TestReload changes one setting after the other: each is either changed in the
// running tap or reported as one that needs a restart.
func TestReload(t *testing.T) {
	running := read(t, File{})
	for i, row := range running.table() {
		if row.name == "config.file" {
			continue
		}
		value, ok := otherValues[row.name]
		if !ok {
			t.Errorf("%s: no other value is known", row.name)
			continue
		}
		next := read(t, File{values: map[string][]string{row.name: {value}}})
		assert.NotEqual(t, next.table()[i].value.String(), row.value.String(), "%s=%s changes nothing", row.name, value)
		live := &fakeLive{made: map[string]*Settings{}}
		restart, err := Reload(live, running, next)
		require.NoError(t, err)
		var want []string
		if row.reload == nil && !row.lookup {
			want = []string{row.name}
		}
		assert.Equal(t, want, restart, "%s: %v need a restart, want %v", row.name, restart, want)
		for _, x := range next.Sourced() {
			switch first := strings.Join(running.texts[x.Name], ","); {
			case x.Name != row.name && (x.Value != first || x.Pending != nil):
				t.Errorf("%s: %s is reported as %+v", row.name, x.Name, x)
			case x.Name == row.name && row.reload == nil && (x.Value != first || x.Pending == nil || x.Pending.Value != value):
				t.Errorf("%s=%s needs a restart and is reported as %+v", row.name, value, x)
			case x.Name == row.name && row.reload != nil && (x.Value != value || x.Pending != nil):
				t.Errorf("%s=%s is in use and is reported as %+v", row.name, value, x)
			}
		}
		if len(live.made) != 3 || live.made["routing"] != next || live.made["log level"] != next || live.made["ratio"] != next {
			t.Errorf("%s: changes were made of %v", row.name, live.made)
		}
	}
	live := &fakeLive{made: map[string]*Settings{}, err: errors.New("no")}
	if _, err := Reload(live, running, running); !errors.Is(err, live.err) || len(live.made) != 0 {
		t.Errorf("after an error (%v), %v was changed", err, live.made)
	}
}

// TestPasswordsAreNotPrinted checks that the password of a URL is used but not printed.
func TestPasswordsAreNotPrinted(t *testing.T) {
	const url = "https://user:s3cret@loki.example"
	s := read(t, File{}, "--lookup.loki="+url)
	var b strings.Builder
	if err := s.Print(&b); err != nil || strings.Contains(b.String(), "s3cret") || !strings.Contains(b.String(), "https://user:xxxxx@loki.example") {
		t.Errorf("printed, %v:\n%s", err, b.String())
	}
	assert.Equal(t, url, s.Lookup.Loki[0].String(), "the URL is")
	for _, x := range s.Sourced() {
		assert.False(t, strings.HasPrefix(x.Name, "lookup."), "%s is among the settings of the tap", x.Name)
	}
	_, err := parse("f.yaml", []byte("lookup.loki: https://user:s3cret@loki:port"))
	if err == nil || strings.Contains(err.Error(), "s3cret") || !strings.Contains(err.Error(), "f.yaml:1") {
		t.Errorf("malformed: %v", err)
	}
}

func TestDescribe(t *testing.T) {
	seen := map[string]bool{}
	for _, d := range Describe() {
		if d.Help == "" || !strings.HasPrefix(d.Env, EnvPrefix) || seen[d.Name] {
			t.Errorf("%+v", d)
		}
		seen[d.Name] = true
	}
	fixed := []string{
		"config.file", "proxy.listen-address", "web.listen-address", "web.config.file", "tap.host", "tap.other-hosts",
		"upstream.connect-to", "upstream.ca-file", "log.level", "log.format", "log.file", "traces.success-ratio",
	}
	for _, name := range fixed {
		if !seen[name] {
			t.Errorf("no setting %s among %v", name, slices.Sorted(maps.Keys(seen)))
		}
	}
}

func FuzzFile(f *testing.F) {
	files, _ := filepath.Glob("testdata/bad/*.yaml")
	for _, name := range append(files, "testdata/good.yaml") {
		data := testfile.Read(f, name)
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := parse("fuzz.yaml", data)
		if err != nil {
			assert.True(t, strings.HasPrefix(err.Error(), "fuzz.yaml:"), "error does not name the place: %v", err)
			return
		}
		// What the file reader lets pass, the flags must take.
		s := &Settings{}
		app := kingpin.New("test", "")
		s.Register(app, file)
		if _, err := app.Parse(nil); err != nil {
			t.Errorf("accepted by the file, refused by the flags: %v", err)
		}
	})
}

func TestOrigin(t *testing.T) {
	for text, want := range map[string]string{
		"https://monitor.api.ksyun.com":       "https://monitor.api.ksyun.com",
		"https://monitor.api.ksyun.com./":     "https://monitor.api.ksyun.com",
		"http://monitor.api.ksyun.com.:8080/": "http://monitor.api.ksyun.com:8080",
		"https://[::1]:8443":                  "https://[::1]:8443",
		"https://[::1]":                       "https://[::1]",
		"https://u:p@monitor.api.ksyun.com":   "",
		"monitor.api.ksyun.com":               "",
	} {
		got := ""
		u, err := parseOrigin(text)
		if err == nil {
			got = u.String()
		}
		assert.Equal(t, want, got, "%s: %q, want %q: %v", text, got, want, err)
	}
}
