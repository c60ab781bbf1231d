//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ksyun-tap/ksyun-tap/internal/rawconn"
	"github.com/ksyun-tap/ksyun-tap/internal/testfile"
)

// TestAttemptsByFault counts the attempts that clients make in their default
// settings for each fault: directly, and through the tap, to which the API's
// name resolves, so that no client needs a proxy. It logs the table of
// docs/design.md. With VENDOR_SDKS it includes the vendor's SDKs; see
// testdata/sdks.
func TestAttemptsByFault(t *testing.T) {
	t.Parallel()
	clients := commonClients()
	if os.Getenv("VENDOR_SDKS") != "" {
		clients = append(clients, vendorClients()...)
	}
	if os.Getenv("CLIENT") != "" {
		countAttempts(t, clients[must(strconv.Atoi(os.Getenv("CLIENT")))], must(strconv.Atoi(os.Getenv("FAULT"))))
		return
	}
	dir := t.TempDir()
	buildClients(t, dir)
	const atOnce = 16 // clients, which mostly wait before they try again
	running := make(chan struct{}, atOnce)
	rows := make([][len(clientFaults) + 1]string, len(clients))
	var all subtests
	for i, c := range clients {
		for j := range rows[i] {
			running <- struct{}{}
			all.run(t, c.name+", "+faultName(j), func(t *testing.T) {
				defer func() { <-running }()
				rows[i][j] = onOwnNetwork(t, "CLIENTS="+dir, "CLIENT="+strconv.Itoa(i), "FAULT="+strconv.Itoa(j))
			})
		}
	}
	all.Wait()
	var table strings.Builder
	table.WriteString("| client |")
	for j := range rows[0] {
		fmt.Fprintf(&table, " %s |", faultName(j))
	}
	table.WriteString("\n|" + strings.Repeat("---|", len(rows[0])+1))
	for i, c := range clients {
		fmt.Fprintf(&table, "\n| %s |", c.name)
		for _, cell := range rows[i] {
			table.WriteString(strings.TrimPrefix(strings.TrimSpace(cell), "|"))
		}
	}
	t.Logf("\n%s", &table)
}

// faultName names one of clientFaults or, after these, a call that the tap refuses.
func faultName(n int) string {
	if n == len(clientFaults) {
		return "refused by the tap"
	}
	return clientFaults[n].name
}

// countAttempts logs the attempts of a client at a call with a fault, as a cell of
// the table.
func countAttempts(t *testing.T, c client, fault int) {
	ip(t, "link", "set", "lo", "up")
	ip(t, "addr", "add", loadAddress+"/32", "dev", "lo")
	// A connection attempt gives up after two SYN packets, three seconds.
	sh(t, "sysctl -qw net.ipv4.tcp_syn_retries=1")
	sh(t, "nft -f - <<'END'\n"+synRules+"\nEND")
	resolv := filepath.Join(t.TempDir(), "resolv.conf")
	testfile.Write(t, resolv, "nameserver 127.0.0.1\noptions timeout:1\n", 0o644)
	sh(t, "mount --bind "+resolv+" /etc/resolv.conf")
	t.Cleanup(func() { sh(t, "umount /etc/resolv.conf") })

	if fault == len(clientFaults) {
		n := countTapped(t, c, clientFault{}, "other.example")
		assert.Equal(t, 1, n, "attempts")
		t.Logf("\n| %d |\n", n)
		return
	}
	f := clientFaults[fault]
	f.begin(t)
	direct, tapped := countDirect(t, c, f), countTapped(t, c, f, apiHost)
	if direct != c.attempts[fault] || tapped != c.attempts[fault] {
		t.Errorf("%d attempts directly, %d through the tap, want %d", direct, tapped, c.attempts[fault])
	}
	t.Logf("\n| %d / %d |\n", direct, tapped)
}

// synRules count connection attempts to the API by their initial sequence numbers, which
// repeated SYN packets share. Source ports are soon used again.
var synRules = `table inet attempts {
	set sequences { typeof tcp sequence; flags dynamic; }
	chain out { type filter hook output priority -10; ip daddr ` + loadAddress + ` tcp dport 80 tcp flags & (syn | ack) == syn add @sequences { tcp sequence }; }
	chain fault { type filter hook output priority 0; }
}`

// clientFault is a fault of the network or of the API.
type clientFault struct {
	name    string
	lost    bool                    // the API's name is not found
	rule    string                  // of nftables, for what is sent to the API
	respond func(conn *net.TCPConn) // what the API does with a request; if nil, nothing listens
}

var clientFaults = [...]clientFault{
	{name: "host name not found", lost: true},
	{name: "connection refused"},
	{name: "host unreachable", rule: "reject with icmp type host-unreachable"},
	{name: "connecting times out", rule: "drop"},
	{name: "closed without a response", respond: func(*net.TCPConn) {}},
	{name: "reset without a response", respond: func(c *net.TCPConn) { _ = c.SetLinger(0) }},
	{name: "closed within the body", respond: func(c *net.TCPConn) {
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{")
	}},
}

func (f clientFault) begin(t *testing.T) {
	t.Helper()
	if f.rule != "" {
		sh(t, "nft add rule inet attempts fault ip daddr "+loadAddress+" tcp dport 80 "+f.rule)
	}
	if f.respond == nil {
		return
	}
	ln, err := net.Listen("tcp", loadAddress+":80")
	require.NoError(t, err)
	t.Cleanup(func() { ln.Close() })
	go rawconn.Serve(ln, func(nc net.Conn) {
		// All requests are a GET without a body.
		for buf, head := make([]byte, 16<<10), ""; !strings.Contains(head, "\r\n\r\n"); {
			n, err := nc.Read(buf)
			if err != nil {
				return
			}
			head += string(buf[:n])
		}
		f.respond(nc.(*net.TCPConn))
	})
}

// suffix is that of the names that a name server knows.
func (f clientFault) suffix() string {
	if f.lost {
		return "none.invalid."
	}
	return ""
}

// countDirect counts the questions for the API's name if it is not found, and
// connection attempts otherwise.
func countDirect(t *testing.T, c client, f clientFault) int {
	t.Helper()
	dns := newNameServer(t, "127.0.0.1:53", f.suffix(), loadAddress)
	defer dns.pc.Close()
	sh(t, "nft flush set inet attempts sequences")
	c.call(t, apiHost)
	if f.lost {
		return int(dns.asked.Load())
	}
	return connectionAttempts(t)
}

func connectionAttempts(t *testing.T) int {
	t.Helper()
	var list struct {
		Nftables []struct {
			Set struct{ Elem []json.RawMessage }
		}
	}
	require.NoError(t, json.Unmarshal([]byte(sh(t, "nft --json list set inet attempts sequences")), &list))
	n := 0
	for _, object := range list.Nftables {
		n += len(object.Set.Elem)
	}
	return n
}

// countTapped counts the attempts in the log of a tap.
func countTapped(t *testing.T, c client, f clientFault, host string) int {
	t.Helper()
	dns := newNameServer(t, "127.0.0.1:53", "", "127.0.0.1")
	defer dns.pc.Close()
	real := newNameServer(t, "127.0.0.2:53", f.suffix(), loadAddress)
	defer real.pc.Close()
	tap := startTap(t, nil, "--proxy.listen-address=127.0.0.1:80", "--log.access", "--upstream.resolver=127.0.0.2", "--upstream.dial-timeout=1s")
	c.call(t, host)
	tap.stop(syscall.SIGTERM)
	return strings.Count(tap.text(), `"outcome":"`)
}

// attempts are a client's for each of clientFaults.
type attempts [len(clientFaults)]int

// The clients do not retry, retry when the call cannot be sent or its response
// does not begin, except after a reset, or retry only if the server may not have
// received the call.
var (
	single = attempts{1, 1, 1, 1, 1, 1, 1}
	goV1   = attempts{4, 4, 4, 4, 4, 1, 1}
	java   = attempts{1, 1, 1, 1, 4, 4, 1}
)

// unlessBegun returns n attempts, or 1 if a response has begun.
func unlessBegun(n int) attempts { return attempts{n, n, n, n, n, n, 1} }

// client is a program that makes one call to the host in its last argument.
type client struct {
	name     string
	command  []string
	attempts attempts
}

func (c client) call(t *testing.T, host string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, c.command[0], append(c.command[1:], host)...)
	cmd.Env = append(os.Environ(), "HTTP_PROXY=", "http_proxy=", "AWS_EC2_METADATA_DISABLED=true")
	if out, err := cmd.CombinedOutput(); ctx.Err() != nil {
		t.Fatalf("%v: %v: %s", cmd, err, out)
	} else {
		t.Logf("%s: %s", c.name, tail(string(out), 500))
	}
}

// buildClients builds, with the network of the machine, what the clients need.
func buildClients(t *testing.T, dir string) {
	t.Helper()
	run := func(in, command string) {
		cmd := exec.Command("/bin/sh", "-c", command)
		cmd.Dir, cmd.Env = in, append(os.Environ(), "B="+dir, "CP="+javaClasses)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", command, err, tail(string(out), 4<<10))
		}
	}
	testfile.Write(t, filepath.Join(dir, "java.security"), "networkaddress.cache.negative.ttl=0\n", 0o644)
	run("testdata/sdkv1", "go build -o $B/sdkv1 .")
	run("testdata/sdks", "go build -o $B/nethttp ./nethttp && cp fetch.mjs ../package.json ../package-lock.json $B")
	run(dir, "npm ci --no-audit --no-fund --ignore-scripts")
	if os.Getenv("VENDOR_SDKS") == "" {
		return
	}
	for name, module := range map[string]string{"goold": "github.com/KscSDK/ksc-sdk-go@v0.0.0", "gonew": "github.com/kingsoftcloud/sdk-go/v2@v2.0.0"} {
		checkout := map[string]string{"goold": "ksc-sdk-go", "gonew": "sdk-go"}[name]
		path, _, _ := strings.Cut(module, "@")
		run("testdata/sdks/ksyun", "cp -r "+name+" $B && cd $B/"+name+" && go mod init driver && go mod edit -require="+module+
			" -replace="+path+"=$VENDOR_SDKS/"+checkout+" && go mod tidy && go build -o driver .")
	}
	run("testdata/sdks/ksyun/java", `J=$VENDOR_SDKS/ksc-sdk-java; javac -nowarn -proc:none -encoding UTF-8 -d $B/javaold -cp $CP \
			$(find $J/ksc-sdk-java-core/src/main/java $J/ksc-sdk-java-monitor/src/main/java stubs old -name '*.java') &&
		javac -nowarn -proc:none -encoding UTF-8 -d $B/javanew -cp $CP $(find stubs new -name '*.java') \
			-sourcepath $VENDOR_SDKS/sdk-java/src/main/java`)
}

// javaClasses are Debian's packages of what the Java clients use.
var javaClasses = func() string {
	var path []string
	for name := range strings.FieldsSeq("httpclient httpcore commons-logging commons-codec commons-lang commons-lang3 slf4j-api lombok joda-time " +
		"jackson-annotations jackson-core jackson-databind jackson-dataformat-cbor jaxb-api javax.activation") {
		path = append(path, "/usr/share/java/"+name+".jar")
	}
	return strings.Join(path, ":")
}()

// runJava runs a class. Its settings keep Java from remembering for ten seconds
// that a name is not found.
const runJava = "java -Djava.security.properties=$CLIENTS/java.security -cp "

// shell is a client by a command of the shell, whose $0 is the host.
func shell(name, command string, n attempts) client {
	return client{name, []string{"/bin/sh", "-c", command}, n}
}

// commonClients are those that can be installed from Debian, npm and the Go
// module proxy.
func commonClients() []client {
	const query = `"http://$0/?Action=ListMetrics&Version=2010-05-25"`
	return []client{
		shell("boto3, mode `legacy`", `echo | /usr/bin/python3 testdata/boto.py http://$0 legacy default a b`, unlessBegun(5)),
		shell("boto3, mode `standard`", `echo | /usr/bin/python3 testdata/boto.py http://$0 standard default a b`, unlessBegun(3)),
		shell("boto3, mode `adaptive`", `echo | /usr/bin/python3 testdata/boto.py http://$0 adaptive default a b`, unlessBegun(3)),
		shell("Go SDK v1 (aws-sdk-go)", `$CLIENTS/sdkv1 http://$0 a b once`, goV1),
		shell("Go `net/http`", `$CLIENTS/nethttp $0`, single),
		shell("Python `requests`", `/usr/bin/python3 -c 'import sys, requests; print(requests.get(sys.argv[1]).status_code)' `+query, single),
		shell("Node `fetch`", `node $CLIENTS/fetch.mjs $0 builtin`, single),
		shell("node-fetch 2", `node $CLIENTS/fetch.mjs $0`, single),
		shell("Guzzle 7 (PHP)", `php testdata/sdks/guzzle.php $0`, single),
		shell("Apache HttpClient 4.5 (Java)", runJava+javaClasses+` testdata/sdks/Apache.java $0`, java),
		shell("curl", `curl -sS `+query, single),
	}
}

// vendorClients are the vendor's SDKs.
func vendorClients() []client {
	return []client{
		shell("vendor's Go SDK", `$CLIENTS/goold/driver $0`, goV1),
		shell("vendor's Go SDK v2", `$CLIENTS/gonew/driver $0`, single),
		shell("vendor's older Python SDK (kscore)", `/usr/bin/python3 testdata/sdks/ksyun/ksc.py $0`, unlessBegun(5)),
		shell("vendor's Python SDK", `/usr/bin/python3 testdata/sdks/ksyun/ksyun.py $0`, single),
		shell("vendor's Node SDK", `node testdata/sdks/ksyun/ksyun.cjs $0`, single),
		shell("vendor's older PHP SDK", `php testdata/sdks/ksyun/ksc.php $0`, single),
		shell("vendor's PHP SDK", `php testdata/sdks/ksyun/ksyun.php $0`, single),
		shell("vendor's older Java SDK", runJava+"$CLIENTS/javaold:$VENDOR_SDKS/ksc-sdk-java/ksc-sdk-java-core/src/main/resources:"+javaClasses+` Old $0`, unlessBegun(2)),
		shell("vendor's Java SDK", runJava+"$CLIENTS/javanew:"+javaClasses+` New $0`, java),
	}
}

// sh runs a command and returns what it prints.
func sh(t *testing.T, command string) string {
	t.Helper()
	cmd := exec.Command("/bin/sh", "-c", command)
	cmd.Stderr = t.Output()
	out, err := cmd.Output()
	require.NoError(t, err, command)
	return string(out)
}
