package config

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/alecthomas/kingpin/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// parseWith parses a command line as the program does.
func parseWith(t *testing.T, file File, args ...string) (*Settings, error) {
	t.Helper()
	s := &Settings{}
	app := kingpin.New("test", "")
	s.Register(app, file)
	_, err := app.Parse(args)
	return s, err
}

// TestErrorsNameTheirSource checks that a wrong value is traced to where it was
// written.
func TestErrorsNameTheirSource(t *testing.T) {
	f := func(want, env string, args ...string) {
		t.Helper()
		if k, v, ok := strings.Cut(env, "="); ok {
			t.Setenv(k, v)
			defer os.Unsetenv(k)
		}
		if _, err := parseWith(t, File{}, args...); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s %v: got %v, want %s", env, args, err, want)
		}
	}
	f(`--proxy.idle-timeout: "abc" is not a positive duration`, "", "--proxy.idle-timeout=abc")
	f(`KSYUN_TAP_PROXY_IDLE_TIMEOUT: "abc" is not a positive duration`, "KSYUN_TAP_PROXY_IDLE_TIMEOUT=abc")
	f(`--proxy.idle-timeout: "abc" is not a positive duration`, "KSYUN_TAP_PROXY_IDLE_TIMEOUT=xyz", "--proxy.idle-timeout=abc")
	f(`KSYUN_TAP_LOG_LEVEL: "loud" is not a choice`, "KSYUN_TAP_LOG_LEVEL=loud")
	f(`KSYUN_TAP_INTERCEPT: `, "KSYUN_TAP_INTERCEPT=perhaps")
	f(`KSYUN_TAP_TAP_HOST: "*" is not a host pattern`, "KSYUN_TAP_TAP_HOST=*")
}

func TestPrint(t *testing.T) {
	file, err := parse("f.yaml", []byte("log.level: warn\ntap:\n  host: [a.example, '*.b.example']\n"))
	require.NoError(t, err)
	t.Setenv("KSYUN_TAP_JOURNAL_SIZE", "7")
	s, err := parseWith(t, file, "--log.file=/tmp/a #b", "--intercept")
	require.NoError(t, err)
	var out bytes.Buffer
	for range 2 { // printing changes nothing
		out.Reset()
		require.NoError(t, s.Print(&out))
	}
	for _, want := range []string{
		"log.level: warn  # f.yaml:1\n",
		`tap.host: [a.example, '*.b.example']  # f.yaml:3` + "\n",
		"journal.size: 7  # KSYUN_TAP_JOURNAL_SIZE\n",
		"log.file: \"/tmp/a #b\"  # --log.file\n",
		"intercept: true  # --intercept\n",
		"proxy.listen-address: [127.0.0.1:18181]  # default\n",
		"# web.config.file is not set\n",
	} {
		assert.Contains(t, out.String(), want, "no line %q in\n%s", want, out.String())
	}
	// What is printed is a file that sets the same.
	again, err := parse("printed.yaml", out.Bytes())
	require.NoError(t, err)
	os.Unsetenv("KSYUN_TAP_JOURNAL_SIZE")
	next, err := parseWith(t, again)
	require.NoError(t, err)
	for i, row := range s.table() {
		a, b := row.value.String(), next.table()[i].value.String()
		assert.Equal(t, b, a, "%s is %s when read back, not %s", row.name, b, a)
	}
}

func TestUnknownVariables(t *testing.T) {
	unknown := UnknownVariables([]string{
		"KSYUN_TAP_LOG_LEVEL=debug", "KSYUN_ACCESS_KEY=x", "PATH=/bin",
		// those of Services called ksyun-tap and ksyun-tap-admin
		"KSYUN_TAP_SERVICE_HOST=10.0.0.1", "KSYUN_TAP_SERVICE_PORT=80", "KSYUN_TAP_SERVICE_PORT_HTTP_WEB=80",
		"KSYUN_TAP_PORT=tcp://10.0.0.1:80", "KSYUN_TAP_PORT_80_TCP=tcp://10.0.0.1:80", "KSYUN_TAP_PORT_80_TCP_PROTO=tcp",
		"KSYUN_TAP_PORT_80_TCP_PORT=80", "KSYUN_TAP_PORT_80_TCP_ADDR=10.0.0.1", "KSYUN_TAP_ADMIN_SERVICE_HOST=10.0.0.2",
		"KSYUN_TAP_ADMIN_PORT=udp://10.0.0.2:53",
		// and others
		"KSYUN_TAP_LOG_LEVELS=secret", "KSYUN_TAP_WEB_PORT=80", "KSYUN_TAP_X=",
	})
	var names []string
	for _, e := range unknown {
		names = append(names, e.Where)
		assert.NotContains(t, e.Error(), "secret", "the value is in %q", e)
	}
	assert.Equal(t, []string{"KSYUN_TAP_LOG_LEVELS", "KSYUN_TAP_WEB_PORT", "KSYUN_TAP_X"}, names)
	assert.Equal(t, "did you mean KSYUN_TAP_LOG_LEVEL?", unknown[0].Hint)
}
