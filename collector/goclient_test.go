package collector

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/internal/rawconn"
)

func TestGoClientThroughTheTap(t *testing.T) {
	r := newInterceptRig(t)
	r.serve(func(w http.ResponseWriter, q *http.Request) {
		body, _ := io.ReadAll(q.Body)
		fmt.Fprintf(w, "%s %s %s %s", q.Method, q.Host, q.URL, body)
	})
	client := r.goClient()
	defer client.CloseIdleConnections()
	for range 3 {
		resp, err := client.Post("https://"+host+"/?Action=ListMetrics", "application/json", strings.NewReader("{}"))
		require.NoError(t, err)
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if want := "POST " + host + " /?Action=ListMetrics {}"; err != nil || string(body) != want {
			t.Errorf("%q, %v; want %q", body, err, want)
		}
		r.begun()
		if o := r.observed(); o.Fault != "" || o.Source != classify.SourceConnect {
			t.Errorf("%+v", o)
		}
	}
	if s := r.proxy.Stats(); s.Accepted != 1 || s.Dials != 1 || s.Intercepted != 1 {
		t.Errorf("%+v", s)
	}
}

func TestGoClientThatDoesNotTrustTheTap(t *testing.T) {
	r := newInterceptRig(t)
	client := r.goClient()
	client.Transport.(*http.Transport).TLSClientConfig.RootCAs = r.upCA.pool()
	_, err := client.Get("https://" + host + "/")
	unknown, ok := errors.AsType[x509.UnknownAuthorityError](err)
	assert.True(t, ok, "%v, %v", err, unknown)
	if e := r.failed(); e.Reason != HandshakeUntrusted || e.Host != host {
		t.Errorf("%+v", e)
	}
}

func TestGoClientThatCancels(t *testing.T) {
	r := newInterceptRig(t)
	arrived, gone := make(chan struct{}), make(chan struct{})
	r.serve(func(_ http.ResponseWriter, q *http.Request) {
		close(arrived)
		<-q.Context().Done()
		close(gone)
		panic(http.ErrAbortHandler) // a response could still reach the client
	})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		<-arrived
		cancel()
	}()
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+host+"/", http.NoBody)
	require.NoError(t, err)
	if _, err := r.goClient().Do(q); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	rawconn.Receive(t, gone, "the upstream waits for a client that left")
	r.begun()
	assert.Equal(t, classify.FaultCanceled, r.observed().Fault)
}
