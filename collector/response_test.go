package collector

import (
	"encoding/json"
	"encoding/xml"
	"net"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/collector/upstream"
	"github.com/ksyun-tap/ksyun-tap/internal/rawconn"
)

var uuid4 = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)

type jsonError struct {
	RequestID string `json:"RequestId" xml:"RequestId"`
	Error     struct{ Type, Code, Message string }
}

type xmlError struct {
	XMLName   xml.Name `xml:"ErrorResponse"`
	RequestID string   `json:"RequestId" xml:"RequestId"`
	Error     struct{ Type, Code, Message string }
}

func TestOwnResponses(t *testing.T) {
	mute := rawconn.Listen(t) // takes connections, says nothing
	defer mute.Close()

	lead := func(to string) func(*Config) {
		return func(c *Config) { c.Policy.ConnectTo = []upstream.ConnectTo{connectTo(t, host+":80="+to)} }
	}
	tests := []struct {
		name, request string
		change        func(*Config)
		status        int
		fault         classify.Fault
		kind, code    string
		advice        string // must be in the message
		begun         bool
	}{
		{"malformed", "GET / HTTP/1.1\r\nHost : x\r\n\r\n", nil, 400, classify.FaultBadRequest, "Sender", "TapBadRequest", "colon", false},
		{"too large", "GET / HTTP/1.1\r\nHost: " + host + "\r\nA: " + strings.Repeat("v", 70000) + "\r\n\r\n", nil, 431, classify.FaultBadRequest, "Sender", "TapBadRequest", "large", false},
		{"gzip coding", "POST / HTTP/1.1\r\nHost: " + host + "\r\nTransfer-Encoding: gzip\r\n\r\n", nil, 501, classify.FaultBadRequest, "Sender", "TapBadRequest", "chunked", false},
		{"no host", "GET / HTTP/1.0\r\n\r\n", nil, 400, classify.FaultNoRoute, "Sender", "TapNoRoute", "Host", false},
		{"other host", request("example.com"), nil, 403, classify.FaultHostRefused, "Sender", "TapHostRefused", "--tap.other-hosts=forward", false},
		{"other host, absolute", "GET http://example.com/ HTTP/1.1\r\nHost: example.com\r\n\r\n", nil, 403, classify.FaultHostRefused, "Sender", "TapHostRefused", "--tap.host=example.com", false},
		{"hosts differ", "GET http://" + host + "/ HTTP/1.1\r\nHost: example.com\r\n\r\n", nil, 403, classify.FaultHostRefused, "Sender", "TapHostRefused", "--tap.host", false},
		{"loopback", request("127.0.0.1"), nil, 403, classify.FaultHostRefused, "Sender", "TapHostRefused", "127.0.0.1", false},
		{"loopback name", request("localhost"), func(c *Config) { c.Policy.TapHosts = patterns(t, "localhost") }, 403, classify.FaultHostRefused, "Sender", "TapHostRefused", "--upstream.connect-to=localhost:PORT=ADDR:PORT", false},
		{"metadata", "GET http://169.254.169.254/ HTTP/1.1\r\nHost: 169.254.169.254\r\n\r\n", func(c *Config) { c.Policy.OtherHosts = OtherForward }, 403, classify.FaultHostRefused, "Sender", "TapHostRefused", "link-local", false},
		{"other port", request("example.com:8080"), func(c *Config) { c.Policy.OtherHosts = OtherForward }, 403, classify.FaultHostRefused, "Sender", "TapHostRefused", "80 and 443", false},
		{"connect", "CONNECT " + host + ":443 HTTP/1.1\r\nHost: " + host + ":443\r\n\r\n", nil, 501, classify.FaultUnsupported, "Sender", "TapUnsupported", "--upstream.scheme=https", false},
		{"nobody listens", request(host), lead(rawconn.Nowhere), 503, classify.FaultConnRefused, "Receiver", "TapUpstreamRefused", "port", true},
		{"no TLS", request(host), func(c *Config) {
			c.Policy.UpstreamScheme = "https"
			c.Policy.ConnectTo = []upstream.ConnectTo{connectTo(t, host+":443="+mute.Addr().String())}
			c.Timeouts.TLSHandshake = 20 * time.Millisecond
		}, 503, classify.FaultTLS, "Receiver", "TapUpstreamNotTrusted", "large ClientHellos, start ksyun-tap with GODEBUG=tlsmlkem=0", true},
	}
	for _, tt := range tests {
		for _, accept := range []string{"application/json", "", "*/*", "text/xml", "text/plain, Application/JSON;q=0.5"} {
			t.Run(tt.name+", accept "+accept, func(t *testing.T) {
				r := newRig(t, func(c *Config) {
					if tt.change != nil {
						tt.change(c)
					}
				})
				req := tt.request
				if accept != "" {
					req = strings.Replace(req, "\r\n\r\n", "\r\nAccept: "+accept+"\r\n\r\n", 1)
				}
				c := r.client()
				go c.Write([]byte(req))
				resp, body := c.Response()

				assert.Equal(t, tt.status, resp.StatusCode, "status")
				again := slices.Contains([]int{408, 409, 429, 500, 502, 503, 504, 509}, resp.StatusCode)
				assert.NotEqual(t, tt.fault.Refused(), again, "status %d makes SDKs try again", resp.StatusCode)
				assert.Equal(t, string(tt.fault), resp.Header.Get("X-Ksyun-Tap-Error"), "X-Ksyun-Tap-Error")
				var e jsonError
				readable := tt.fault != classify.FaultBadRequest // else Accept is not known
				if strings.Contains(strings.ToLower(accept), "json") && readable {
					require.NoError(t, json.Unmarshal([]byte(body), &e), body)
				} else {
					var x xmlError
					require.NoError(t, xml.Unmarshal([]byte(body), &x), body)
					e.RequestID, e.Error = x.RequestID, x.Error
				}
				if e.Error.Type != tt.kind || e.Error.Code != tt.code || !strings.Contains(e.Error.Message, tt.advice) {
					t.Errorf("%+v", e)
				}
				if !uuid4.MatchString(e.RequestID) || resp.Header.Get("X-KSC-REQUEST-ID") != e.RequestID {
					t.Errorf("request ID %q, in the head %q", e.RequestID, resp.Header.Get("X-KSC-REQUEST-ID"))
				}

				if tt.begun {
					r.begun()
				}
				o := r.observed()
				if o.Fault != tt.fault || o.Verdict.Outcome != classify.OutcomeProxy || o.Verdict.RequestID.String() != e.RequestID || o.Verdict.RequestIDSource != classify.RequestIDTap {
					t.Errorf("observed fault %q, verdict %+v", o.Fault, o.Verdict)
				}
				assert.False(t, o.Upstream.IsValid(), "upstream %v", o.Upstream)
				r.silent()
				r.untouched()
			})
		}
	}
}

func TestOwnResponseToHEADHasNoBody(t *testing.T) {
	r := newRig(t)
	c := r.client()
	c.Send("HEAD / HTTP/1.1\r\nHost: example.com\r\n\r\nGET / HTTP/1.1\r\nHost: example.org\r\n\r\n")
	first, err := c.In.ReadString('\n')
	if err != nil || !strings.HasPrefix(first, "HTTP/1.1 403 ") {
		t.Fatalf("%q, %v", first, err)
	}
	for line := ""; line != "\r\n"; {
		line, err = c.In.ReadString('\n')
		require.NoError(t, err)
	}
	_, body := c.Response()
	assert.Contains(t, body, "example.org", "the next response is")
}

func TestLoopsAreRefused(t *testing.T) {
	for name, bind := range map[string]string{"loopback": "127.0.0.1:0", "any address": "0.0.0.0:0", "any address, v6": "[::]:0"} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			ln, err := net.Listen("tcp", bind)
			require.NoError(t, err)
			done := make(chan error)
			go func() { done <- r.proxy.Serve(ln) }()
			_, port, _ := net.SplitHostPort(ln.Addr().String())
			p := rawconn.Dial(t, "127.0.0.1:"+port)
			for _, to := range []string{"127.0.0.1:" + port, "localhost:" + port} {
				policy := Policy{ConnectTo: []upstream.ConnectTo{connectTo(t, host+":80="+to)}}
				require.NoError(t, r.proxy.Reload(policy, classify.New(classify.DefaultCatalog())))
				p.Send(request(host))
				resp, body := p.Response()
				if resp.StatusCode != http.StatusForbidden || resp.Header.Get("X-Ksyun-Tap-Error") != "loop" || !strings.Contains(body, "resolves to ksyun-tap itself") {
					t.Errorf("%s: %d %s", to, resp.StatusCode, body)
				}
				assert.Equal(t, classify.FaultLoop, r.observed().Fault, "%s: fault", to)
			}
			r.cut()
			<-done
		})
	}
}

// TestWantOfDescriptorsIsExplained explains the error of handing a connection over,
// which is that of the system.
func TestWantOfDescriptorsIsExplained(t *testing.T) {
	for _, err := range []error{syscall.EMFILE, os.NewSyscallError("file", syscall.ENFILE), upstream.ErrNoDescriptors} {
		a := explain(err)
		assert.Equal(t, classify.FaultExhausted, a.fault, "%v", err)
		assert.Equal(t, http.StatusServiceUnavailable, a.status, "%v", err)
		assert.Contains(t, a.message, "LimitNOFILE", "%v", err)
		assert.Contains(t, string(a.append(nil)), "<Type>Receiver</Type><Code>TapExhausted</Code>")
	}
}
