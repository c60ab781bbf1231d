// Package web serves the admin listener: metrics, health, reload, the journal
// as JSON and as pages.
//
//	GET      /                            the page: links, recent failures, search
//	GET      /errors/{request_id}         one call, with text for a support ticket
//	GET      /metrics
//	GET      /-/healthy                   the program runs
//	GET      /-/ready                     it takes calls
//	POST,PUT /-/reload                    it reads its configuration anew
//	GET      /api/v1/errors               recent failures as JSON, filtered
//	GET      /api/v1/errors/{request_id}  the attempts answered with that ID
//
// It only reads, but for reload. Pages need no JavaScript and load nothing from
// elsewhere.
package web

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/ksyun-tap/ksyun-tap/exporter/journal"
)

// Options are what the admin handler shows and does. The funcs are called from
// several goroutines.
type Options struct {
	Version string
	Metrics http.Handler     // nil: no /metrics
	Journal *journal.Journal // needed
	// Ready returns why the program is not ready for calls, or nil; a nil func
	// is always ready.
	Ready func() error
	// Reload reads the configuration anew; a nil func cannot.
	Reload func() error
	// Hosts are names, without port, under which the handler may be asked on
	// loopback addresses besides localhost and the addresses themselves. On
	// other addresses every name will do.
	Hosts []string
}

// NewHandler returns the admin handler.
func NewHandler(opts Options) http.Handler {
	mux := http.NewServeMux()
	if opts.Metrics != nil {
		mux.Handle("GET /metrics", opts.Metrics)
	}
	mux.HandleFunc("GET /-/healthy", healthy)
	mux.HandleFunc("GET /-/ready", ready(opts.Ready))
	mux.HandleFunc("POST /-/reload", reload(opts.Reload))
	mux.HandleFunc("PUT /-/reload", reload(opts.Reload))

	a := api{opts.Journal}
	mux.HandleFunc("GET /api/v1/errors", a.list)
	mux.HandleFunc("GET /api/v1/errors/{request_id}", a.one)

	p := pages{opts}
	mux.HandleFunc("GET /{$}", p.index)
	mux.HandleFunc("GET /errors/{request_id}", p.one)
	mux.HandleFunc("GET /style.css", stylesheet)

	return secured(guarded(opts.Hosts, http.NewCrossOriginProtection().Handler(mux)))
}

// healthy tells that the program runs.
func healthy(w http.ResponseWriter, _ *http.Request) {
	_, _ = fmt.Fprintln(w, "ksyun-tap is healthy.")
}

// ready tells whether the program takes calls.
func ready(check func() error) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		if check != nil {
			if err := check(); err != nil {
				http.Error(w, "ksyun-tap is not ready: "+err.Error(), http.StatusServiceUnavailable)
				return
			}
		}
		_, _ = fmt.Fprintln(w, "ksyun-tap is ready.")
	}
}

// reload has the configuration read anew.
func reload(do func() error) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		if do == nil {
			http.Error(w, "there is no configuration to reload", http.StatusNotImplemented)
			return
		}
		if err := do(); err != nil {
			http.Error(w, "failed to reload config: "+err.Error(), http.StatusInternalServerError)
			return
		}
		_, _ = fmt.Fprintln(w, "configuration reloaded")
	}
}

// contentPolicy lets a page load its stylesheet and send its form here, and
// nothing else.
const contentPolicy = "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// secured sets the headers that keep browsers from being tricked.
func secured(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", contentPolicy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "deny")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

// guarded refuses, on loopback addresses, requests for a host that is not this
// machine: a stranger's page in a browser here may have its name resolve to
// 127.0.0.1, and would otherwise read what we serve.
func guarded(hosts []string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if onLoopback(r) && !ownName(r.Host, hosts) {
			http.Error(w, "this address does not serve that host", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// onLoopback reports whether r came in on a loopback address; an unknown one
// counts as such.
func onLoopback(r *http.Request) bool {
	addr, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	return !ok || addr.IP.IsLoopback()
}

// ownName reports whether a Host header names this machine or one of hosts.
func ownName(host string, hosts []string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	name = strings.TrimSuffix(strings.Trim(name, "[]"), ".")
	if ip, err := netip.ParseAddr(name); err == nil {
		return ip.IsLoopback()
	}
	return strings.EqualFold(name, "localhost") ||
		slices.ContainsFunc(hosts, func(h string) bool { return strings.EqualFold(name, h) })
}
