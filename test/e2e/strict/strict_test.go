//go:build e2e

package strict

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http/httputil"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ksyun-tap/ksyun-tap/collector/relay/http1"
	"github.com/ksyun-tap/ksyun-tap/collector/relay/http1/http1test"
	"github.com/ksyun-tap/ksyun-tap/internal/freeport"
	"github.com/ksyun-tap/ksyun-tap/internal/rawconn"
	"github.com/ksyun-tap/ksyun-tap/internal/testfile"
)

// patience is how long a peer may take to start or to answer.
const patience = 20 * time.Second

// mark is in every response of the upstream.
const mark = "x-upstream: yes" // HAProxy writes names in lower case

// TestRefusesWhatPeersRefuse sends requests to the tap, nginx and HAProxy, each
// in front of an upstream, and fails for those that the tap passes on and one of
// the two refuses, and for those that it passes on though package http1 refuses
// them.
func TestRefusesWhatPeersRefuse(t *testing.T) {
	up := upstream(t)
	peers := []peer{startTap(t, up), startNginx(t, up), startHAProxy(t, up)}

	vectors := make(map[string]string)
	add := func(requests map[string]string) {
		for name, request := range requests {
			_, taken := vectors[name]
			assert.False(t, taken, "two requests are named %q", name)
			vectors[name] = request
		}
	}
	add(http1test.LegalRequests())
	for _, requests := range http1test.MalformedRequests() {
		add(requests)
	}
	add(furtherVectors())
	names := slices.Sorted(maps.Keys(vectors))

	verdicts := make(map[string][]string, len(names))
	var mu sync.Mutex
	t.Run("peers", func(t *testing.T) {
		for _, name := range names {
			t.Run(name, func(t *testing.T) {
				t.Parallel() // most of the time is spent waiting for timeouts
				var row []string
				for _, p := range peers {
					row = append(row, p.verdict(t, vectors[name]))
				}
				row = append(row, verdict([]byte(vectors[name])))
				mu.Lock()
				defer mu.Unlock()
				verdicts[name] = row
			})
		}
	})

	var table strings.Builder
	passed, refused := 0, 0
	for _, name := range names {
		row := verdicts[name]
		reason := deliberate[name] + unrouted[name]
		worse := row[0] == pass && (row[1] != pass || row[2] != pass)
		fmt.Fprintf(&table, "%-32s %-8s %-8s %-8s %-8s %s\n", name, row[0], row[1], row[2], row[3], reason)
		switch {
		case (row[0] == pass) != (row[3] == pass) && unrouted[name] == "":
			t.Errorf("%s: the tap: %s, package http1: %s: %.200q", name, row[0], row[3], vectors[name])
		case worse && reason == "":
			t.Errorf("%s: the tap passes on what a peer refuses (nginx: %s, HAProxy: %s): %.200q", name, row[1], row[2], vectors[name])
		case !worse && deliberate[name] != "":
			t.Errorf("%s: listed as a deliberate difference, but there is none", name)
		}
		if row[0] == pass {
			passed++
		} else {
			refused++
		}
	}
	for name := range unrouted {
		if row := verdicts[name]; len(row) == 0 || row[0] == pass || row[3] != pass {
			t.Errorf("%s: listed as unrouted, but it is not: %v", name, row)
		}
	}
	for name := range deliberate {
		_, ok := vectors[name]
		assert.True(t, ok, "%s: listed as a deliberate difference, but there is no such request", name)
	}
	t.Logf("%d requests, of which the tap passes on %d and refuses %d\n%-32s %-8s %-8s %-8s %-8s\n%s", len(names), passed, refused, "", "tap", "nginx", "HAProxy", "http1", &table)
	if passed < 80 || refused < 80 {
		t.Errorf("only %d and %d requests", passed, refused)
	}
}

// deliberate has the requests that the relay passes on although a peer refuses
// them, with the reason.
var deliberate = map[string]string{
	"absolute, other host":      namesDiffer,
	"absolute, other port":      namesDiffer,
	"absolute, host with a dot": namesDiffer,
	"absolute, address twice":   namesDiffer,
	"upgrade websocket, no key": "asks for nothing that is passed on: the offer is removed",
	"absolute with query alone": "is legal (RFC 9110, 4.2.1), and passed on with a path",
	"absolute, underscore":      "is how containers are named; nginx takes it in Host",
	"long name":                 "is a limit on one name; the relay limits the head",
	"many fields":               "is a limit on their number; the relay limits the head",
	"method !":                  otherMethods,
	"method Post":               otherMethods,
	"method get":                otherMethods,
	"method TRACE":              "is legal; nginx refuses it whatever it holds",
	"options star":              "is legal (RFC 9112, 3.2.4)",
}

// unrouted has the requests that are well formed but that the tap cannot route,
// with the reason; the peers know their upstream by configuration.
var unrouted = map[string]string{
	"absolute https":          "asks for TLS to the upstream, which speaks none here",
	"absolute, untapped host": "names two hosts, of which one is not tapped",
	"no host, 1.0":            "names no host",
}

const namesDiffer = "is what the vendor's examples do, with tapped hosts only; it goes to the host of the target"

const otherMethods = "is a token; the upstream decides which methods there are"

// pass is the verdict on a request that reaches the upstream. Any other is the
// status of the refusal, or how the connection ended.
const pass = "pass"

// verdict is that of package http1.
func verdict(in []byte) string {
	const limit = 64 << 10
	for bytes.HasPrefix(in, []byte("\r\n")) { // the relay passes over empty lines
		in = in[2:]
	}
	end, _, err := http1.ScanRequest(in, 0, limit)
	if err == nil && end == 0 {
		return "waits"
	}
	var q http1.Request
	var body http1.Body
	if err == nil {
		err = q.Parse(in, 0, end)
	}
	if err == nil {
		body = q.Body()
		_, err = body.Take(in[end:])
	}
	var refusal *http1.RefusalError
	switch {
	case errors.As(err, &refusal):
		return strconv.Itoa(refusal.Status)
	case !body.Done:
		return "waits"
	}
	return pass
}

// peer is a proxy, and where it listens.
type peer struct{ name, network, address string }

// verdict sends a request and returns what became of it.
func (p peer) verdict(t *testing.T, request string) string {
	nc, err := net.Dial(p.network, p.address)
	require.NoError(t, err)
	defer nc.Close()
	nc.SetDeadline(time.Now().Add(patience))
	go nc.Write([]byte(request))
	br := bufio.NewReader(nc)
	for {
		head, err := readHead(br)
		if err != nil {
			if err, ok := errors.AsType[net.Error](err); ok && err.Timeout() {
				t.Errorf("%s: no response", p.name)
			}
			return "closed"
		}
		switch {
		case strings.Contains(head, mark):
			return pass
		case len(head) < len("HTTP/1.1 400"):
			return "closed"
		case head[9] != '1':
			return head[9:12]
		}
	}
}

func readHead(br *bufio.Reader) (string, error) {
	var head strings.Builder
	for {
		line, err := br.ReadString('\n')
		if err != nil {
			return "", err
		}
		if line == "\r\n" {
			return head.String(), nil
		}
		head.WriteString(line)
	}
}

// upstream answers every whole request, as a peer sends it. It returns its
// address.
func upstream(t *testing.T) string {
	ln := rawconn.Listen(t)
	go rawconn.Serve(ln, func(nc net.Conn) {
		if readRequest(bufio.NewReader(nc)) == nil {
			io.WriteString(nc, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n"+mark+"\r\n\r\n")
		}
	})
	return ln.Addr().String()
}

func readRequest(br *bufio.Reader) error {
	head, err := readHead(br)
	if err != nil {
		return err
	}
	length, chunked := int64(0), false
	for line := range strings.Lines(strings.ToLower(head)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		switch name {
		case "content-length":
			length, err = strconv.ParseInt(strings.TrimSpace(value), 10, 64)
		case "transfer-encoding":
			chunked = true
		}
	}
	if chunked {
		if _, err = io.Copy(io.Discard, httputil.NewChunkedReader(br)); err == nil {
			_, err = readHead(br) // trailers
		}
		return err
	}
	if err == nil {
		_, err = io.CopyN(io.Discard, br, length)
	}
	return err
}

// startTap starts the real tap. It taps every host that the requests name, and
// reaches all of them by way of the upstream as a proxy, as the peers do by
// configuration; but for those of loopback, for which it uses no proxy.
func startTap(t *testing.T, up string) peer {
	program := filepath.Join(t.TempDir(), "ksyun-tap")
	out, err := exec.Command("go", "build", "-C", "../../..", "-race", "-o", program, "./cmd/ksyun-tap").CombinedOutput()
	require.NoError(t, err, "build\n%s", out)
	address := freeport.TCP(t)
	args := []string{
		"run", "--proxy.listen-address=" + address, "--web.listen-address=127.0.0.1:0", "--log.level=error",
		"--tap.other-hosts=pass", "--proxy.head-timeout=1s", "--proxy.stall-timeout=1s",
	}
	for _, host := range []string{"h", "a_b"} {
		args = append(args, "--tap.host="+host)
	}
	for _, to := range []string{"127.0.0.1:80", "[::1]:80"} {
		args = append(args, "--upstream.connect-to="+to+"="+up)
	}
	return startPeer(t, peer{"ksyun-tap", "tcp", address}, []string{"HTTP_PROXY=http://" + up, "HTTPS_PROXY=", "ALL_PROXY=", "NO_PROXY="}, program, args...)
}

func startNginx(t *testing.T, up string) peer {
	dir := socketDir(t)
	user := ""
	if os.Getuid() == 0 {
		user = "user root;"
	}
	config := fmt.Sprintf(`%s
daemon off;
worker_processes 1;
pid %[2]s/pid;
error_log %[2]s/error.log;
events { worker_connections 1024; }
http {
	access_log off;
	client_body_temp_path %[2]s/body;
	proxy_temp_path %[2]s/proxy;
	fastcgi_temp_path %[2]s/fastcgi;
	uwsgi_temp_path %[2]s/uwsgi;
	scgi_temp_path %[2]s/scgi;
	client_header_timeout 1s;
	client_body_timeout 1s;
	client_max_body_size 0;
	large_client_header_buffers 8 128k;
	server {
		listen unix:%[2]s/socket;
		location / {
			proxy_pass http://%[3]s;
			proxy_http_version 1.1;
		}
	}
}
`, user, dir, up)
	return startConfigured(t, "nginx", dir, config, "-e", "stderr", "-c")
}

func startHAProxy(t *testing.T, up string) peer {
	dir := socketDir(t)
	config := fmt.Sprintf(`global
	tune.bufsize 131072
	tune.http.maxhdr 32767
defaults
	mode http
	timeout connect 5s
	timeout server 5s
	timeout client 1s
	timeout http-request 1s
frontend in
	bind unix@%s/socket
	default_backend out
backend out
	server up %s
`, dir, up)
	return startConfigured(t, "haproxy", dir, config, "-db", "-f")
}

// socketDir returns a directory whose name is short enough for sockets.
func socketDir(t *testing.T) string {
	dir, err := os.MkdirTemp("", "strict") //nolint:usetesting // the names of tests are too long
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// startConfigured starts a proxy with a configuration, which listens on a Unix
// socket.
func startConfigured(t *testing.T, name, dir, config string, args ...string) peer {
	t.Helper()
	file := filepath.Join(dir, "config")
	testfile.Write(t, file, config, 0o600)
	return startPeer(t, peer{name, "unix", filepath.Join(dir, "socket")}, nil, name, append(args, file)...)
}

// startPeer starts a proxy and waits until it listens.
func startPeer(t *testing.T, p peer, env []string, program string, args ...string) peer {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = patience
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	require.NoError(t, cmd.Start())
	exited := make(chan struct{})
	go func() {
		defer close(exited)
		cmd.Wait()
	}()
	t.Cleanup(func() {
		stop()
		<-exited
		if strings.Contains(out.String(), "WARNING: DATA RACE") {
			t.Errorf("%s has a data race: %s", p.name, &out)
		}
	})
	for deadline := time.After(patience); ; {
		if nc, err := net.Dial(p.network, p.address); err == nil {
			nc.Close()
			return p
		}
		select {
		case <-exited:
			t.Fatalf("%s: %s", p.name, &out)
		case <-deadline:
			t.Fatalf("%s does not listen", p.name)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// furtherVectors are requests beside those of package http1test: targets, hosts
// and what else a peer may read in its own way.
func furtherVectors() map[string]string {
	const host = "Host: h\r\n"
	target := func(t, host string) string { return "GET " + t + " HTTP/1.1\r\nHost:" + host + "\r\n\r\n" }
	fields := func(f string) string { return "GET / HTTP/1.1\r\n" + host + f + "\r\n\r\n" }
	post := func(f, body string) string { return "POST / HTTP/1.1\r\n" + host + f + "\r\n\r\n" + body }
	chunked := func(body string) string { return post("Transfer-Encoding: chunked", body) }
	m := map[string]string{
		"absolute":                      target("http://h/", " h"),
		"absolute https":                target("https://h/", " h"),
		"absolute upper case":           target("HTTP://H/", " h"),
		"absolute with port":            target("http://h:8080/x", " h:8080"),
		"absolute default port":         target("http://h:80/", " h"),
		"absolute, host default port":   target("http://h/", " h:80"),
		"absolute, other host":          target("http://h/", " a_b"),
		"absolute, other port":          target("http://h/", " h:81"),
		"absolute, host with a dot":     target("http://h/", " h."),
		"absolute, address twice":       target("http://127.0.0.1/", " [::ffff:127.0.0.1]"),
		"absolute, untapped host":       target("http://h/", " i"),
		"absolute empty port":           target("http://h:/", " h"),
		"absolute without path":         target("http://h", " h"),
		"absolute with query alone":     target("http://h?a=b", " h"),
		"absolute v6":                   target("http://[::1]/", " [::1]"),
		"absolute v6 with port":         target("http://[::1]:80/", " [::1]:80"),
		"absolute v4":                   target("http://127.0.0.1/", " 127.0.0.1"),
		"absolute, two slashes":         target("http://h//x", " h"),
		"absolute, dot at the end":      target("http://h./", " h."),
		"absolute, host of dots":        target("http://../", " .."),
		"absolute, underscore":          target("http://a_b/", " a_b"),
		"absolute, no host, 1.0":        "GET http://h/ HTTP/1.0\r\n\r\n",
		"absolute, no slashes":          target("http:h/", " h"),
		"absolute, one slash":           target("http:/h/", " h"),
		"absolute, backslashes":         target(`http:\\h\`, " h"),
		"absolute, star":                target("http://*/", " *"),
		"absolute, leading zero port":   target("http://h:0080/", " h"),
		"absolute, port with sign":      target("http://h:+80/", " h"),
		"absolute, open v6":             target("http://[::1", " h"),
		"absolute, empty v6":            target("http://[]/", " []"),
		"absolute, bad v6":              target("http://[:::::]/", " [:::::]"),
		"absolute, v6 of dots":          target("http://[...]/", " [...]"),
		"absolute, colon in userinfo":   target("http://a:b@h/", " h"),
		"absolute ws":                   target("ws://h/", " h"),
		"absolute with blank host":      target("http://h/", " "),
		"options absolute":              "OPTIONS http://h HTTP/1.1\r\nHost: h\r\n\r\n",
		"options without slash":         "OPTIONS x HTTP/1.1\r\n" + host + "\r\n",
		"star and more":                 "OPTIONS *x HTTP/1.1\r\n" + host + "\r\n",
		"slash star":                    "OPTIONS /* HTTP/1.1\r\n" + host + "\r\n",
		"target of controls":            target("/\x01", " h"),
		"target with escaped nul":       target("/%00", " h"),
		"target with escaped slash":     target("/a%2fb", " h"),
		"target above the root":         target("/../x", " h"),
		"target above the root, deeper": target("/a/../../x", " h"),
		"target escaped dots":           target("/%2e%2e/x", " h"),
		"target, half an escape":        target("/%", " h"),
		"query, half an escape":         target("/?%", " h"),
		"query of an escaped nul":       target("/?%00", " h"),
		"query of quotes":               target("/?\"<>`{}|\\^", " h"),
		"host of a dot":                 target("/", " ."),
		"host dot at the end":           target("/", " h."),
		"host dot first":                target("/", " .h"),
		"host two dots within":          target("/", " a..b"),
		"host hyphen":                   target("/", " -"),
		"host underscore":               target("/", " a_b"),
		"host star":                     target("/", " *"),
		"host tilde":                    target("/", " h~"),
		"host percent":                  target("/", " %68"),
		"host reserved":                 target("/", " h!$&'()*+;="),
		"host backslash":                target("/", ` h\i`),
		"host quote":                    target("/", ` "h"`),
		"host question mark":            target("/", " h?x"),
		"host hash":                     target("/", " h#x"),
		"host above ascii":              target("/", " h\xc3\xa4"),
		"host control":                  target("/", " h\x01"),
		"host v4 hex":                   target("/", " 0x7f.1"),
		"host v4":                       target("/", " 127.0.0.1"),
		"host v6 open":                  target("/", " [::1"),
		"host v6 closed":                target("/", " ::1]"),
		"host v6 bare":                  target("/", " ::1"),
		"host v6 empty":                 target("/", " []"),
		"host v6 and more":              target("/", " [::1]x"),
		"host v6 zone":                  target("/", " [fe80::1%25eth0]"),
		"host v6 bad":                   target("/", " [:::::]"),
		"host v6 of dots":               target("/", " [...]"),
		"host v6 of digits":             target("/", " [1]"),
		"host vfuture":                  target("/", " [v1.a]"),
		"host port 0":                   target("/", " h:0"),
		"host port leading zeros":       target("/", " h:00080"),
		"host port 65535":               target("/", " h:65535"),
		"host port 65536":               target("/", " h:65536"),
		"host port sign":                target("/", " h:+80"),
		"host port blank":               target("/", " h: 80"),
		"host two ports":                target("/", " h:80:80"),
		"host scheme":                   target("/", " http://h"),
		"host of 255":                   target("/", " "+strings.Repeat("a", 255)),
		"host of 256":                   target("/", " "+strings.Repeat("a", 256)),
		"host, then another late":       "GET / HTTP/1.1\r\n" + host + strings.Repeat("A: b\r\n", 50) + "host: i\r\n\r\n",
		"no host, no field":             "GET / HTTP/1.1\r\n\r\n",
		"no host, 1.0":                  "GET / HTTP/1.0\r\n\r\n",
		"empty host, 1.0":               "GET / HTTP/1.0\r\nHost:\r\n\r\n",
		"two hosts, 1.0":                "GET / HTTP/1.0\r\nHost: h\r\nHost: h\r\n\r\n",
		"bare cr at value end":          fields("A: b \r"),
		"control 1f":                    fields("A: \x1f"),
		"control 01":                    fields("A: \x01"),
		"c1 control":                    fields("A: \x85"),
		"nbsp around a length":          post("Content-Length: \xa05", "hello"),
		"form feed around a length":     post("Content-Length: \f5", "hello"),
		"name with underscore":          fields("A_B: c"),
		"length with underscore name":   post("Content_Length: 5\r\nContent-Length: 2", "hi"),
		"name with quote":               fields("A\": b"),
		"name with slash":               fields("A/B: c"),
		"name with at":                  fields("@A: c"),
		"name with control":             fields("A\x01: c"),
		"name with tab":                 fields("A\t: c"),
		"coding with tab before":        post("Transfer-Encoding:\tchunked", "0\r\n\r\n"),
		"coding with tab behind":        post("Transfer-Encoding: chunked\t", "0\r\n\r\n"),
		"coding with blank behind":      post("Transfer-Encoding: chunked ", "0\r\n\r\n"),
		"coding with vt":                post("Transfer-Encoding: \x0bchunked", "0\r\n\r\n"),
		"coding upper case":             post("Transfer-Encoding: CHUNKED", "0\r\n\r\n"),
		"coding list with empty":        post("Transfer-Encoding: , chunked", "0\r\n\r\n"),
		"coding identity first":         post("Transfer-Encoding: identity, chunked", "0\r\n\r\n"),
		"coding on GET":                 fields("Transfer-Encoding: chunked") + "0\r\n\r\n",
		"coding underscore":             post("Transfer_Encoding: chunked\r\nContent-Length: 5", "0\r\n\r\n"),
		"te gzip":                       fields("TE: gzip"),
		"length zero, GET":              fields("Content-Length: 0"),
		"length minus zero":             post("Content-Length: -0", ""),
		"length with comma":             post("Content-Length: 5,", "hello"),
		"length with comma first":       post("Content-Length: ,5", "hello"),
		"length with semicolon":         post("Content-Length: 5;a", "hello"),
		"length quoted":                 post(`Content-Length: "5"`, "hello"),
		"length with blank behind":      post("Content-Length: 5 ", "hello"),
		"length with tab behind":        post("Content-Length: 5\t", "hello"),
		"length 2^63":                   post("Content-Length: 9223372036854775808", "hello"),
		"length 2^64+5":                 post("Content-Length: 18446744073709551621", "hello"),
		"length and no body, DELETE":    "DELETE / HTTP/1.1\r\n" + host + "Content-Length: 0\r\n\r\n",
		"chunk extension obs-text":      chunked("5;a=\"\xff\"\r\nhello\r\n0\r\n\r\n"),
		"chunk extension del":           chunked("5;a=\"\x7f\"\r\nhello\r\n0\r\n\r\n"),
		"chunk extension tab":           chunked("5;\ta\t=\tb\r\nhello\r\n0\r\n\r\n"),
		"chunk extension on the last":   chunked("5\r\nhello\r\n0;a=b\r\n\r\n"),
		"chunk size 16 digits":          chunked("0000000000000005\r\nhello\r\n0\r\n\r\n"),
		"chunk size 8 digits":           chunked("00000005\r\nhello\r\n0\r\n\r\n"),
		"chunk size 9 digits":           chunked("000000005\r\nhello\r\n0\r\n\r\n"),
		"chunk size of the last":        chunked("5\r\nhello\r\n00000\r\n\r\n"),
		"chunk size negative zero":      chunked("-0\r\n\r\n"),
		"chunk size with point":         chunked("5.0\r\nhello\r\n0\r\n\r\n"),
		"chunk size with h":             chunked("5h\r\nhello\r\n0\r\n\r\n"),
		"chunk size underscore":         chunked("0_5\r\nhello\r\n0\r\n\r\n"),
		"chunk without last":            chunked("5\r\nhello\r\n"),
		"trailer obs-text":              chunked("0\r\nA: \xff\r\n\r\n"),
		"trailer of many":               chunked("0\r\n" + strings.Repeat("A: b\r\n", 90) + "\r\n"),
		"trailer control":               chunked("0\r\nA: \x01\r\n\r\n"),
		"trailer name control":          chunked("0\r\nA\x01: b\r\n\r\n"),
		"expect on GET":                 fields("Expect: 100-continue"),
		"expect, 1.0":                   "POST / HTTP/1.0\r\n" + host + "Expect: 100-continue\r\nContent-Length: 2\r\n\r\nhi",
		"expect quoted":                 post("Expect: \"100-continue\"\r\nContent-Length: 2", "hi"),
		"expect, other first":           post("Expect: x, 100-continue\r\nContent-Length: 2", "hi"),
		"expect with comma":             post("Expect: 100-continue,\r\nContent-Length: 2", "hi"),
		"expect with tab":               post("Expect:\t100-continue\r\nContent-Length: 2", "hi"),
		"connection empty":              fields("Connection:"),
		"connection commas":             fields("Connection: ,,,"),
		"connection both":               fields("Connection: close, keep-alive"),
		"connection with tab":           fields("Connection:\tclose"),
		"connection, 1.0 close":         "GET / HTTP/1.0\r\n" + host + "Connection: close\r\n\r\n",
		"connection names itself":       fields("Connection: connection"),
		"proxy-connection":              fields("Proxy-Connection: keep-alive"),
		"upgrade websocket":             fields("Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13"),
		"upgrade websocket, no key":     fields("Connection: Upgrade\r\nUpgrade: websocket"),
		"upgrade without connection":    fields("Upgrade: foo"),
		"upgrade h2c whole":             fields("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__"),
		"upgrade empty":                 fields("Connection: upgrade\r\nUpgrade:"),
		"method of 1000":                strings.Repeat("M", 1000) + " / HTTP/1.1\r\n" + host + "\r\n",
		"method connect, lower case":    "connect h:443 HTTP/1.1\r\n" + host + "\r\n",
		"http 1.1 twice":                "GET / HTTP/1.1 HTTP/1.1\r\n" + host + "\r\n",
		"http 3 digits":                 "GET / HTTP/1.1.1\r\n" + host + "\r\n",
		"empty lines, three":            "\r\n\r\n\r\nGET / HTTP/1.1\r\n" + host + "\r\n",
		"empty line of lf":              "\nGET / HTTP/1.1\r\n" + host + "\r\n",
		"empty line first":              "\r\nGET / HTTP/1.1\r\n" + host + "\r\n",
	}
	for _, c := range []byte("\x01\x08\x0b\x0c\x0e\x1b\x1f\x7f\x80\x9f\xa0\xff") {
		m[fmt.Sprintf("byte %02x in a target", c)] = target("/"+string([]byte{c}), " h")
		m[fmt.Sprintf("byte %02x in a value", c)] = fields("A: x" + string([]byte{c}) + "y")
		m[fmt.Sprintf("byte %02x in a host", c)] = target("/", " h"+string([]byte{c}))
	}
	return m
}
