//go:build linux

package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"sync/atomic"
	"time"
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

// serveReceiver runs a receiver for the tap's spans over OTLP/HTTP. It does not decode
// requests, because it runs on the core of the load, which must not be the bottleneck. On
// GET /requests it returns the number of requests so far.
func serveReceiver(address string) error {
	var requests atomic.Int64
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/traces", func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err == nil {
			requests.Add(1)
		}
		w.Header().Set("Content-Type", "application/x-protobuf")
	})
	mux.HandleFunc("GET /requests", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, requests.Load()) })
	srv := &http.Server{Addr: address, Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	return srv.ListenAndServe()
}
