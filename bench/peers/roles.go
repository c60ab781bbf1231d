//go:build linux

package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"sync"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// serveReverseProxy runs the standard library's reverse proxy without counters, log and
// spans.
func serveReverseProxy(address, upstream, cert string, tlsIn, tlsOut bool) error {
	certPEM, err := os.ReadFile(cert)
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(certPEM)
	target := &url.URL{Scheme: "http", Host: upstream}
	if tlsOut {
		target.Scheme = "https"
	}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Host = r.In.Host
		},
		Transport: &http.Transport{
			DialContext:         (&net.Dialer{}).DialContext,
			TLSClientConfig:     &tls.Config{RootCAs: roots, ServerName: host},
			MaxIdleConnsPerHost: 256,
			DisableCompression:  true,
			ReadBufferSize:      16 << 10,
			WriteBufferSize:     16 << 10,
		},
	}
	srv := &http.Server{
		Addr: address, Handler: proxy, ReadHeaderTimeout: 10 * time.Second,
		TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){}, // no HTTP/2
	}
	if tlsIn {
		return srv.ListenAndServeTLS(cert, cert)
	}
	return srv.ListenAndServe()
}

// serveReceiver runs a receiver for the tap's spans.
func serveReceiver(address string) error {
	srv := &http.Server{Addr: address, Handler: new(receiver), ReadHeaderTimeout: 10 * time.Second}
	return srv.ListenAndServe()
}

// receiver counts spans. It does not decode them, because it runs on the core of the
// load, which must not be the bottleneck.
type receiver struct {
	mu    sync.Mutex // guards the fields below
	body  bytes.Buffer
	spans int
}

// ServeHTTP receives spans over OTLP/HTTP with protobuf on POST /v1/traces. On GET
// /spans it returns the number of received spans.
func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if req.Method == http.MethodGet {
		fmt.Fprint(w, r.spans)
		return
	}
	r.body.Reset()
	if _, err := r.body.ReadFrom(req.Body); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	n, err := countSpans(r.body.Bytes())
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	r.spans += n
	w.Header().Set("Content-Type", "application/x-protobuf")
}

// countSpans returns the number of spans in an ExportTraceServiceRequest.
func countSpans(request []byte) (n int, err error) {
	err = eachMessage(request, 1, func(resource []byte) error { // resource_spans
		return eachMessage(resource, 2, func(scope []byte) error { // scope_spans
			return eachMessage(scope, 2, func([]byte) error { // spans
				n++
				return nil
			})
		})
	})
	return n, err
}

// eachMessage calls f for each occurrence of a field of a protobuf message. The type of
// the field is bytes.
func eachMessage(message []byte, field protowire.Number, f func([]byte) error) error {
	for len(message) > 0 {
		number, kind, n := protowire.ConsumeTag(message)
		if n < 0 {
			return protowire.ParseError(n)
		}
		message = message[n:]
		if n = protowire.ConsumeFieldValue(number, kind, message); n < 0 {
			return protowire.ParseError(n)
		}
		if number == field {
			value, _ := protowire.ConsumeBytes(message)
			if err := f(value); err != nil {
				return err
			}
		}
		message = message[n:]
	}
	return nil
}
