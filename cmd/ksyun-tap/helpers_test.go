package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if os.Getenv(matrixClient) != "" {
		os.Exit(callAPI())
	}
	testscript.Main(leakCheck{m}, map[string]func(){"ksyun-tap": main, "call": scriptCall})
}

// matrixClient makes this test binary the program of TestEnvironmentMatrix.
const matrixClient = "TEST_MATRIX_CLIENT"

// callAPI is the program of the matrix: it calls the API by Go's default client.
func callAPI() int {
	res, err := http.Get("http://" + apiHost + "/?Action=ListMetrics")
	if err != nil {
		fmt.Println(err)
		return 1
	}
	res.Body.Close()
	fmt.Println("status", res.StatusCode)
	return 0
}

// leakCheck fails tests after which a goroutine is left.
type leakCheck struct{ m *testing.M }

// Run runs the tests.
func (l leakCheck) Run() int {
	code := l.m.Run()
	if err := goleak.Find(); code == 0 && err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// startTap runs a tap whose upstream for the API's host is api, and returns
// the addresses of its proxy and web listeners. It is stopped with the test.
func startTap(t *testing.T, api string, flags ...string) (proxy, admin string) {
	t.Helper()
	tap := serveTap(t, append([]string{"--web.listen-address=127.0.0.1:0", "--upstream.connect-to=" + apiHost + ":80=" + api}, flags...)...)
	return tap.address(wayProxy), tap.address(wayWeb)
}

// serveTap runs a tap with the flags until the end of the test.
func serveTap(t *testing.T, flags ...string) *tap {
	t.Helper()
	c, _, err := parseCommandLine(append([]string{"run", "--proxy.listen-address=127.0.0.1:0"}, flags...), io.Discard)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	tap, err := newTap(ctx, &c.settings, nil, outputs{log: io.Discard}, service{})
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- tap.serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		assert.NoError(t, <-done, "serve")
	})
	waitReady(t, "http://"+tap.address(wayWeb)+"/-/ready")
	return tap
}

// failCall makes a call through a tap that fails, waits until the tap lists it, and
// returns its request ID. The API requires a signature unless prepare signs the request.
func failCall(t *testing.T, proxy, admin string, prepare func(*http.Request)) string {
	t.Helper()
	transport := &http.Transport{Proxy: http.ProxyURL(&url.URL{Scheme: "http", Host: proxy})}
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+apiHost+"/?"+query, nil)
	require.NoError(t, err)
	if prepare != nil {
		prepare(req)
	}
	res, err := transport.RoundTrip(req)
	require.NoError(t, err)
	res.Body.Close()
	id := res.Header.Get("X-Ksc-Request-Id")
	waitReady(t, "http://"+admin+"/api/v1/failures/"+id)
	return id
}

// waitReady asks until the response is 200. The listeners are open before the tap
// says that it is ready.
func waitReady(t *testing.T, url string) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for timeout := time.After(10 * time.Second); ; {
		res, err := client.Get(url)
		require.NoError(t, err)
		res.Body.Close()
		if res.StatusCode == http.StatusOK {
			return
		}
		select {
		case <-tick.C:
		case <-timeout:
			t.Fatal("the tap does not become ready")
		}
	}
}
