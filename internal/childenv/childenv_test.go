package childenv

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pavlo-v-chernykh/keystore-go/v4"
	"github.com/stretchr/testify/require"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/internal/proxyenv"
	"github.com/ksyun-tap/ksyun-tap/internal/selfsigned"
	"github.com/ksyun-tap/ksyun-tap/internal/testfile"
	"github.com/ksyun-tap/ksyun-tap/internal/trust"
)

// testSetup is a setup for a tap at 127.0.0.1:9, with files of CAs.
func testSetup(t *testing.T, env ...string) *setup {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"ca.pem", "bundle.pem"} {
		_, text := selfsigned.Certificate(name)
		testfile.Write(t, filepath.Join(dir, name), text, 0o600)
	}
	return newSetup(Config{
		Base: env, Dir: dir, TrustDir: dir, Proxy: "127.0.0.1:9", TapHosts: classify.APIHosts(),
		Upstream: proxyenv.Read(func(name string) string { return getenv(env, name) }, nil),
	})
}

func TestNoProxy(t *testing.T) {
	f := func(want string, notes int, env ...string) {
		t.Helper()
		c := testSetup(t, env...)
		if got := strings.Join(c.newNoProxy(), ","); got != want || len(c.notes) != notes {
			t.Errorf("%q: got %s, notes %q\nwant %s", env, got, c.notes, want)
		}
	}
	const never = "localhost,127.0.0.1,::1,169.254.169.254"
	f(never, 0)
	f("a.example,.corp.example,10.0.0.0/8,b.example:80,"+never, 0, "NO_PROXY= a.example, .corp.example ,10.0.0.0/8 b.example:80,,")
	f("small,"+never, 0, "no_proxy=small", "NO_PROXY=capital")
	f("localhost,x,127.0.0.1,::1,169.254.169.254", 0, "NO_PROXY=localhost,x,localhost")
	// What covers the API would keep it from the tap.
	for _, covering := range []string{"*", ".ksyun.com", "ksyun.com", "*.ksyun.com", "api.ksyun.com", "monitor.api.ksyun.com", "com", ".api.ksyun.com:443"} {
		f("x,"+never, 1, "NO_PROXY=x,"+covering)
	}
}

func TestClusterNames(t *testing.T) {
	files := map[string]string{
		namespaceFile: "shop\n",
		resolvConf:    "nameserver 10.96.0.10\nsearch shop.svc.cluster.example svc.cluster.example cluster.example\noptions ndots:5\n",
	}
	read := func(name string) ([]byte, error) {
		if text, ok := files[name]; ok {
			return []byte(text), nil
		}
		return nil, os.ErrNotExist
	}
	env := []string{"KUBERNETES_SERVICE_HOST=10.96.0.1", "PUSH_GATEWAY_SERVICE_HOST=10.96.0.7", "PUSH_GATEWAY_PORT=tcp://10.96.0.7:9091"}
	want := []string{".svc", ".cluster.example", "10.96.0.1", ".shop", "kubernetes", "push-gateway"}
	if got := clusterNames(env, read); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	delete(files, namespaceFile)
	if got := clusterNames(env, read); !slices.Equal(got, want) {
		t.Errorf("by resolv.conf: got %q, want %q", got, want)
	}
	if got := clusterNames([]string{"PUSH_GATEWAY_SERVICE_HOST=10.96.0.7"}, read); got != nil {
		t.Errorf("outside of a cluster: %q", got)
	}
}

// odd are values that each grammar has its own trouble with.
var odd = []string{
	"plain", "/tmp/a b", `/tmp/a"b`, `/tmp/a'b`, `/tmp/a\b`, `/tmp/"a' b\`, "/tmp/a\tb", `"`, `'`, `\`, `\\"`, "é ü",
}

func TestQuoteJava(t *testing.T) {
	for _, s := range odd {
		if got := splitJava("-Da=b " + quoteJava("-Dx="+s) + " -Dc=d"); !slices.Equal(got, []string{"-Da=b", "-Dx=" + s, "-Dc=d"}) {
			t.Errorf("%q becomes %q", s, got)
		}
	}
	for text, want := range map[string][]string{
		"": nil, "  ": nil, "a  b": {"a", "b"}, `"a b"c 'd "e'`: {"a bc", `d "e`}, `a\ b`: {`a\`, "b"}, `""`: {""}, `"open`: {"open"},
	} {
		if got := splitJava(text); !slices.Equal(got, want) {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

func FuzzQuoteJava(f *testing.F) {
	for _, s := range odd {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if got := splitJava(quoteJava("-D" + s)); strings.ToValidUTF8(s, "") == s && !slices.Equal(got, []string{"-D" + s}) {
			t.Errorf("%q becomes %q", s, got)
		}
	})
}

// TestOddDirectories starts a JVM and Node with files in directories that their
// options must quote.
func TestOddDirectories(t *testing.T) {
	for _, name := range []string{"a b", `a"b`, "a'b", `a\b`, `a" b'c\d`} {
		c := testSetup(t, "NODE_OPTIONS=--no-warnings", "JAVA_TOOL_OPTIONS=-Dmine=yes")
		c.Dir = filepath.Join(t.TempDir(), name)
		require.NoError(t, os.Mkdir(c.Dir, 0o700))
		c.noProxy = c.newNoProxy()
		require.NoError(t, errors.Join(c.setNode(), c.setJava()))
		run := func(command ...string) {
			path, err := exec.LookPath(command[0])
			if err != nil {
				t.Skipf("no %s here", command[0])
			}
			cmd := exec.Command(path, command[1:]...)
			cmd.Env = append(os.Environ(), "NODE_OPTIONS="+c.set["NODE_OPTIONS"], "JAVA_TOOL_OPTIONS="+c.set["JAVA_TOOL_OPTIONS"])
			if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), filepath.Join(c.Dir, "")) {
				t.Errorf("%s in %q: %v\n%s", command[0], name, err, out)
			}
		}
		run("node", "-e", "console.log(Object.keys(require.cache).join())")
		run("java", "-XshowSettings:properties", "-version")
	}
}

func TestJavaHosts(t *testing.T) {
	got := strings.Join(javaHosts([]string{"localhost", ".corp.example", "*.x.example", "10.0.0.0/8", "192.168.4.0/22", "::1", "h:80", "a|b", "1.2.3.4"}), "|")
	if want := "localhost|*.localhost|*.corp.example|*.x.example|10.*|[::1]|1.2.3.4"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// javaStore writes a trust store with one certificate, in the form of a JVM
// before 9.
func javaStore(t *testing.T, password string) (name string, cert *x509.Certificate) {
	t.Helper()
	_, text := selfsigned.Certificate("private.example")
	block, _ := pem.Decode(text)
	cert, err := x509.ParseCertificate(block.Bytes)
	require.NoError(t, err)
	store := keystore.New()
	if err := store.SetTrustedCertificateEntry("own", keystore.TrustedCertificateEntry{
		CreationTime: time.Now(), Certificate: keystore.Certificate{Type: "X509", Content: cert.Raw},
	}); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	require.NoError(t, store.Store(&b, []byte(password)))
	name = filepath.Join(t.TempDir(), "own trust.jks")
	testfile.Write(t, name, b.Bytes(), 0o600)
	return name, cert
}

// TestJavaTrust checks that a JVM still trusts the trust store that its options name.
func TestJavaTrust(t *testing.T) {
	store, own := javaStore(t, "s3cret")
	set := quoteJava("-Djavax.net.ssl.trustStore="+store) + " -Djavax.net.ssl.trustStorePassword=s3cret"
	for _, variable := range javaVariables {
		c := testSetup(t, variable+"="+set)
		require.NoError(t, c.setJava())
		merged, err := trust.ReadJava(filepath.Join(c.Dir, "truststore.p12"), trust.JavaPassword)
		if err != nil || len(merged) != 2 || !slices.ContainsFunc(merged, own.Equal) || len(c.notes) != 0 {
			t.Errorf("%s: %d certificates, %v, notes %q", variable, len(merged), err, c.notes)
		}
		// The merged one goes last, and so before theirs.
		options := splitJava(c.set[variable])
		if i := slices.Index(options, "-Djavax.net.ssl.trustStore="+filepath.Join(c.Dir, "truststore.p12")); i < slices.Index(options, "-Djavax.net.ssl.trustStore="+store) {
			t.Errorf("%s: %q", variable, options)
		}
	}
	// One that cannot be read is kept, and reported.
	c := testSetup(t, "JAVA_TOOL_OPTIONS=-Djavax.net.ssl.trustStore=/nonexistent")
	if err := c.setJava(); err != nil || len(c.notes) != 1 || strings.Contains(c.set["JAVA_TOOL_OPTIONS"], c.Dir) {
		t.Errorf("%v, notes %q, %s", err, c.notes, c.set["JAVA_TOOL_OPTIONS"])
	}
	// Without one, the JVM's own are kept.
	home := t.TempDir()
	security := filepath.Join(home, "lib", "security")
	require.NoError(t, os.MkdirAll(security, 0o700))
	cacerts, theirs := javaStore(t, "changeit")
	require.NoError(t, os.Rename(cacerts, filepath.Join(security, "cacerts")))
	c = testSetup(t, "JAVA_HOME="+home)
	require.NoError(t, c.setJava())
	merged, err := trust.ReadJava(filepath.Join(c.Dir, "truststore.p12"), trust.JavaPassword)
	if err != nil || !slices.ContainsFunc(merged, theirs.Equal) {
		t.Errorf("the JVM's own is lost: %v", err)
	}
}

// TestJavaProxy checks that a way out which the tap does not take is kept.
func TestJavaProxy(t *testing.T) {
	f := func(tapped bool, notes int, env ...string) {
		t.Helper()
		c := testSetup(t, env...)
		require.NoError(t, c.setJava())
		if got := strings.Contains(c.set["JAVA_TOOL_OPTIONS"], "-Dhttps.proxyHost=127.0.0.1 "); got != tapped || len(c.notes) != notes {
			t.Errorf("%q: tapped %t, notes %q", env, got, c.notes)
		}
	}
	f(true, 0)
	f(true, 0, "JAVA_TOOL_OPTIONS=-Xmx1g")
	f(false, 1, "JAVA_TOOL_OPTIONS=-Dhttp.proxyHost=proxy.example -Dhttp.proxyPort=3128")
	f(false, 1, "JAVA_TOOL_OPTIONS=-DsocksProxyHost=socks.example")
	f(false, 1, "_JAVA_OPTIONS=-Dhttps.proxyHost=proxy.example")
	f(true, 0, "JAVA_TOOL_OPTIONS=-Dhttp.proxyHost=proxy.example -Dhttp.proxyPort=3128", "HTTP_PROXY=http://proxy.example:3128")
	f(true, 0, "JAVA_TOOL_OPTIONS=-DsocksProxyHost=socks.example", "ALL_PROXY=socks5://socks.example")
	f(true, 0, "JAVA_TOOL_OPTIONS=-Dhttp.proxyHost=")
}

// TestUserChoicesAreKept checks the variables that exec does not replace.
func TestUserChoicesAreKept(t *testing.T) {
	c := testSetup(t, "AWS_CSM_ENABLED=false", "NODE_USE_ENV_PROXY=0", "NODE_OPTIONS=--no-warnings")
	c.CSM = &net.UDPAddr{}
	require.NoError(t, c.setNode())
	c.setCSM()
	if len(c.set) != 0 || len(c.notes) != 1 {
		t.Errorf("set %v, notes %q", c.set, c.notes)
	}
}
