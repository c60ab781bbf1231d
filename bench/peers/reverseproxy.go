package main

import (
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"time"
)

// serveReverseProxy is what one gets from the standard library with no duty at
// all: no counters, no log, no spans.
func serveReverseProxy(address, upstream string) error {
	target := &url.URL{Scheme: "http", Host: upstream}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Host = r.In.Host
		},
		Transport: &http.Transport{
			DialContext:         (&net.Dialer{}).DialContext,
			MaxIdleConnsPerHost: 256,
			DisableCompression:  true,
			ReadBufferSize:      16 << 10,
			WriteBufferSize:     16 << 10,
		},
	}
	srv := &http.Server{Addr: address, Handler: proxy, ReadHeaderTimeout: 10 * time.Second}
	return srv.ListenAndServe()
}
