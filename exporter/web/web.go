// Package web serves the admin listener: metrics, health checks, reload, and the
// journal as JSON and HTML.
//
//	GET      /                            index page with links, recent failures and search
//	GET      /errors/{request_id}         page of one call with the text of a support ticket
//	GET      /metrics
//	GET      /-/healthy                   200 while the program runs
//	GET      /-/ready                     200 if the program accepts calls, else 503
//	POST,PUT /-/reload                    reloads the configuration
//	GET      /api/v1/errors               recent failures as JSON, filtered
//	GET      /api/v1/errors/{request_id}  failed attempts with one request ID
//	GET      /api/v1/events               recent events that are not failures of single calls
//
// All endpoints except reload are read-only. The pages need no JavaScript and
// load nothing from other hosts.
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

// Options configures the admin handler. The functions may be called
// concurrently.
type Options struct {
	Version string
	Metrics http.Handler     // if nil, /metrics is not served
	Journal *journal.Journal // required
	// Ready returns an error while the program is not ready for calls. If the
	// function is nil, the program is always ready.
	Ready func() error
	// Reload reloads the configuration. If it is nil, reload responds with 501.
	Reload func() error
	// Hosts are additional host names, without port, that are accepted in the
	// Host header on loopback addresses, besides localhost and IP addresses. On
	// other addresses, every name is accepted.
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
	mux.HandleFunc("GET /api/v1/events", a.events)

	p := pages{opts}
	mux.HandleFunc("GET /{$}", p.index)
	mux.HandleFunc("GET /errors/{request_id}", p.one)
	mux.HandleFunc("GET /style.css", stylesheet)

	return secured(guarded(opts.Hosts, http.NewCrossOriginProtection().Handler(mux)))
}

// healthy reports that the program is running.
func healthy(w http.ResponseWriter, _ *http.Request) {
	_, _ = fmt.Fprintln(w, "ksyun-tap is healthy.")
}

// ready reports whether the program accepts calls.
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

// reload reloads the configuration.
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

// contentPolicy allows a page to load its stylesheet from and submit its form to
// this server, and nothing else.
const contentPolicy = "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// secured sets security headers on every response.
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

// guarded refuses requests on loopback addresses whose Host header does not name
// this machine. This prevents DNS rebinding: a web page in a local browser could
// let its own name resolve to 127.0.0.1 and read the responses.
func guarded(hosts []string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if onLoopback(r) && !ownName(r.Host, hosts) {
			http.Error(w, "this address does not serve that host", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// onLoopback reports whether r was received on a loopback address. It returns
// true if the address is unknown.
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
