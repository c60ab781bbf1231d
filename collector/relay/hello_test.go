package relay

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ksyun-tap/ksyun-tap/collector/relay/http1"
	"github.com/ksyun-tap/ksyun-tap/hostname"
)

// hello returns what a client begins TLS with.
func hello(t testing.TB, cfg *tls.Config) []byte {
	t.Helper()
	cfg.InsecureSkipVerify = true
	r := &helloWriter{}
	tls.Client(r, cfg).Handshake()
	require.NotEmpty(t, r.wrote, "no ClientHello")
	return r.wrote
}

// helloWriter keeps the first bytes written and then fails.
type helloWriter struct {
	net.Conn
	wrote []byte
}

func (w *helloWriter) Write(p []byte) (int, error) {
	w.wrote = append(w.wrote, p...)
	return len(p), nil
}
func (w *helloWriter) Read([]byte) (int, error) { return 0, io.EOF }
func (w *helloWriter) Close() error             { return nil }

// script is a connection that reads these bytes, so many at a time.
type script struct {
	net.Conn
	r    io.Reader
	size int
}

func (s *script) Read(p []byte) (int, error) { return s.r.Read(p[:min(len(p), s.size)]) }

// records puts a handshake message into records of so many bytes.
func records(record []byte, size int) []byte {
	var out []byte
	for rest := record[5:]; len(rest) > 0; {
		n := min(size, len(rest))
		out = append(out, 22, 3, 1, byte(n>>8), byte(n))
		out = append(out, rest[:n]...)
		rest = rest[n:]
	}
	return out
}

// TestDottedName reads names that crypto/tls does not.
func TestDottedName(t *testing.T) {
	named := hello(t, &tls.Config{ServerName: "h.examplex"})
	dotted := bytes.Replace(named, []byte("h.examplex"), []byte("h.example."), 1)
	for name, test := range map[string]struct {
		sent []byte
		want string
	}{
		"dotted":        {dotted, "h.example."},
		"many records":  {records(dotted, 16), "h.example."},
		"more behind":   {append(bytes.Clone(dotted), "early"...), "h.example."},
		"without a dot": {named, ""},
		"only a dot":    {bytes.Replace(hello(t, &tls.Config{ServerName: "x"}), []byte("\x00\x00\x01x"), []byte("\x00\x00\x01."), 1), ""},
		"odd":           {bytes.Replace(named, []byte("h.examplex"), []byte("h/example."), 1), ""},
		"half":          {dotted[:len(dotted)-1], ""},
		"nothing":       {nil, ""},
	} {
		nc := &script{r: bytes.NewReader(test.sent), size: 100}
		got, read, err := readServerName(t.Context(), nc)
		if dot := strings.HasSuffix(got, "."); got != test.want && (dot || test.want != "") {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
		if !bytes.HasPrefix(test.sent, read) || test.want != "" && err != nil {
			t.Errorf("%s: read %d bytes, %v", name, len(read), err)
		}
		for n := range test.sent {
			dottedName(test.sent[:n])
		}
	}
}

// FuzzDottedName reads anything, and agrees with crypto/tls on what both read.
func FuzzDottedName(f *testing.F) {
	named := hello(f, &tls.Config{ServerName: "h.examplex"})
	f.Add(bytes.Replace(named, []byte("h.examplex"), []byte("h.example."), 1))
	f.Add(records(named, 10))
	f.Fuzz(func(t *testing.T, b []byte) {
		name := dottedName(b)
		if name == "" {
			return
		}
		if !isServerName(name) || !strings.HasSuffix(name, ".") {
			t.Errorf("%q", name)
		}
		other, _, err := readHello(t.Context(), &script{r: bytes.NewReader(b), size: 1000}, nil)
		assert.Error(t, err, "%q, and crypto/tls reads %q", name, other)
	})
}

func TestReadHello(t *testing.T) {
	named := hello(t, &tls.Config{ServerName: "Monitor.api.ksyun.com"})
	long := strings.Repeat("a", 60) + "." + strings.Repeat("b", 60) + ".example.com"
	tests := map[string]struct {
		sent []byte
		name string // "" is an error
	}{
		"named":        {named, "Monitor.api.ksyun.com"},
		"1.2":          {hello(t, &tls.Config{ServerName: "h.example", MaxVersion: tls.VersionTLS12}), "h.example"},
		"h2":           {hello(t, &tls.Config{ServerName: "h.example", NextProtos: []string{"h2"}}), "h.example"},
		"long":         {hello(t, &tls.Config{ServerName: long}), long},
		"many records": {records(named, 16), "Monitor.api.ksyun.com"},
		"more behind":  {append(bytes.Clone(named), "early"...), "Monitor.api.ksyun.com"},
		"unnamed":      {hello(t, &tls.Config{}), ""},
		"address":      {hello(t, &tls.Config{ServerName: "192.0.2.1"}), ""}, // clients leave it out
		"odd name":     {bytes.Replace(named, []byte("Monitor.api"), []byte("Monitor\r\npi"), 1), ""},
		"port in name": {bytes.Replace(named, []byte("Monitor.api"), []byte("Monitor:api"), 1), ""},
		"broken off":   {named[:len(named)/2], ""},
		"nothing":      {nil, ""},
		"HTTP":         {[]byte(getRequest), ""},
		"endless":      {endlessHello(), ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			for _, size := range []int{1 << 20, 100, 1} {
				client := bytes.NewReader(tt.sent)
				got, read, err := readHello(t.Context(), &script{r: client, size: size}, nil)
				taken := len(tt.sent) - client.Len()
				require.LessOrEqual(t, taken, maxHello, "in pieces of %d: took %d bytes", size, taken)
				if got != tt.name || (err == nil) != (tt.name != "") {
					t.Fatalf("in pieces of %d: %q, %v; want %q", size, got, err, tt.name)
				}
				if err == nil && !bytes.HasPrefix(tt.sent, read) {
					t.Fatalf("in pieces of %d: what was read is not what came", size)
				}
			}
		})
	}
}

// endlessHello is a ClientHello of 60 KiB, which crypto/tls would read, and more.
func endlessHello() []byte {
	b := []byte{1, 0, 0xf0, 0}
	return records(append(make([]byte, 5), append(b, make([]byte, 1<<20)...)...), 16384)
}

func FuzzReadHello(f *testing.F) {
	f.Add(hello(f, &tls.Config{ServerName: "monitor.api.ksyun.com"}))
	f.Add(hello(f, &tls.Config{ServerName: "h", MaxVersion: tls.VersionTLS12}))
	f.Add(records(hello(f, &tls.Config{ServerName: "h.example"}), 7))
	f.Add([]byte(getRequest))
	f.Fuzz(func(t *testing.T, sent []byte) {
		name, read, err := readHello(context.Background(), &script{r: bytes.NewReader(sent), size: 1 << 20}, nil)
		if err != nil {
			return
		}
		if !bytes.HasPrefix(sent, read) || len(read) > maxHello {
			t.Fatalf("read %d bytes, not those of the client", len(read))
		}
		// It must survive being put into a CONNECT.
		var q http1.Request
		head := []byte("CONNECT " + name + ":443 HTTP/1.1\r\nHost: " + name + "\r\n\r\n")
		if err := q.Parse(head, 0, len(head)); err != nil {
			if host, _, ok := hostname.SplitAuthority([]byte(name)); !ok || len(host) == 0 {
				t.Fatalf("%q is no host", name)
			}
			t.Fatalf("%q: %v", name, err)
		}
		if host, port, _ := hostname.SplitAuthority(q.Authority()); string(host) != name || port != 443 {
			t.Fatalf("%q became %q", name, q.Authority())
		}
	})
}

func TestTLSUnasked(t *testing.T) {
	t.Run("intercepted", func(t *testing.T) {
		r := newRig(t)
		r.tls = testTLS()
		c := r.dialTo(r.frontTLS)
		c.handshake(tls.Client)
		var up *peer
		for range 2 {
			c.Send(getRequest)
			if up == nil {
				up = r.upstream()
			}
			up.Expect(getRequest)
			up.Deliver(okResponse, c)
			n := r.ends(EndComplete)
			assert.Equal(t, int64(len(getRequest)), n.reqBytes, n)
		}
		assert.NoError(t, r.nextSecured())
	})
	t.Run("passed on unseen", func(t *testing.T) {
		r := newRig(t)
		sent := hello(t, &tls.Config{ServerName: "h"})
		c := r.dialTo(r.frontTLS)
		c.Send(string(sent[:20]))
		c.Send(string(sent[20:]) + "more")
		up := r.upstream()
		up.Expect(string(sent) + "more")
		up.Deliver("\x16\x03answer", c)
		c.CloseWrite()
		up.ExpectEnd()
		up.Close()
		c.ExpectEnd()
		if n := r.ends(EndComplete); n.method != "CONNECT" || n.target != "h:443" || n.reqBytes != int64(len(sent)+4) || n.respBytes != 8 {
			t.Errorf("%+v", n)
		}
	})
	t.Run("to where there is no way", func(t *testing.T) {
		r := newRig(t)
		r.dial = func(context.Context) (net.Conn, error) { return nil, errTest }
		c := r.dialTo(r.frontTLS)
		c.Send(string(hello(t, &tls.Config{ServerName: "h"})))
		c.Expect(string(alert(alertInternalError)))
		c.ExpectEnd()
		r.ends(EndRefused)
	})
	t.Run("without a name", func(t *testing.T) {
		r := newRig(t)
		c := r.dialTo(r.frontTLS)
		err := tls.Client(c.TCPConn, &tls.Config{InsecureSkipVerify: true}).Handshake()
		assert.ErrorContains(t, err, "unrecognized name", "the client saw")
		assert.ErrorIs(t, r.nextSecured(), errNoServerName, "reported")
		if len(r.reported) > 0 || r.dials.Load() > 0 {
			t.Error("taken for a request")
		}
	})
	t.Run("but it never comes", func(t *testing.T) {
		r := newRig(t, func(c *Config) { c.Timeouts.TLSHandshake = 20 * time.Millisecond })
		c := r.dialTo(r.frontTLS)
		c.Expect(string(alert(alertUnrecognizedName)))
		c.ExpectEnd()
		err := r.nextSecured()
		assert.True(t, isTimeout(err), "reported %v", err)
	})
	t.Run("shutdown before it comes", func(t *testing.T) {
		r := newRig(t)
		c := r.dialTo(r.frontTLS)
		assert.NoError(t, r.srv.Shutdown(t.Context()))
		if _, err := io.Copy(io.Discard, c); err != nil && !errors.Is(err, syscall.ECONNRESET) {
			t.Error(err)
		}
		if len(r.secured) > 0 {
			t.Errorf("reported %v", <-r.secured)
		}
	})
}
