package traces

import (
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
)

// TestUpload has a backend refuse each request once.
func TestUpload(t *testing.T) {
	for _, compress := range []bool{false, true} {
		var got []string
		backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			in := io.Reader(r.Body)
			if r.Header.Get("Content-Encoding") == "gzip" {
				var err error
				if in, err = gzip.NewReader(r.Body); err != nil {
					t.Error(err)
					return
				}
			}
			request, err := io.ReadAll(in)
			if err != nil {
				t.Error(err)
			}
			got = append(got, string(request))
			if len(got)%2 == 1 {
				w.WriteHeader(http.StatusServiceUnavailable)
			}
		}))
		t.Cleanup(backend.Close)
		u := &upload{next: http.DefaultTransport, compress: compress}
		u.sdk = otlptracehttp.NewClient(
			otlptracehttp.WithEndpointURL(backend.URL),
			otlptracehttp.WithHTTPClient(&http.Client{Transport: u}),
			otlptracehttp.WithRetry(otlptracehttp.RetryConfig{
				Enabled: true, InitialInterval: time.Millisecond, MaxInterval: time.Millisecond, MaxElapsedTime: time.Minute,
			}),
		)
		memory := []byte("first")
		for _, request := range []string{"first", "other"} {
			copy(memory, request)
			if err := u.Send(t.Context(), memory); err != nil {
				t.Fatal(err)
			}
		}
		if want := []string{"first", "first", "other", "other"}; !slices.Equal(got, want) {
			t.Errorf("compressed %t: got %q, want %q", compress, got, want)
		}
		if err := u.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

func TestUploadEndsUse(t *testing.T) {
	u := &upload{request: []byte("request")}
	b := u.body()
	start := make([]byte, 3)
	if _, err := io.ReadFull(b, start); err != nil || string(start) != "req" {
		t.Fatalf("got %q, %v", start, err)
	}
	u.release()
	if n, err := b.Read(start); n != 0 || err != io.EOF {
		t.Errorf("after the end: %d bytes, %v", n, err)
	}
}
