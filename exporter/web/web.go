// Package web serves the failures as pages and as an API, metrics, health checks
// and reload.
//
//	GET      /                              page of failures: what is failing now, groups, search
//	GET      /failures/{id}                 page of one failure with the text of a support ticket
//	GET      /programs                      page of programs and credentials
//	GET      /catalogue                     page of the error catalogue
//	GET      /tap                           page of the tap itself
//	GET      /metrics
//	GET      /-/healthy                     200 while the program runs
//	GET      /-/ready                       200 if the program accepts calls, else 503
//	POST,PUT /-/reload                      reloads the configuration, if enabled
//	GET      /debug/pprof/                  profiles, if enabled
//	GET      /api/v1/failures               failures, filtered, in pages
//	GET      /api/v1/failures/{id}          the failures with an ID or request ID
//	GET      /api/v1/failures/{id}/ticket   text of a support ticket
//	GET      /api/v1/failures/{id}/har      what it looked like on the wire, if that is kept
//	GET      /api/v1/groups                 groups of equal failures
//	GET      /api/v1/groups/{id}
//	GET      /api/v1/activity               calls and failures over time
//	GET      /api/v1/events                 new failures as they happen
//	GET      /api/v1/notices                recent notices, such as a key that stopped working
//	GET      /api/v1/incidents              onset and scope of the kinds of failure that go on
//	GET      /api/v1/inventory              what programs use of the API
//	GET      /api/v1/status/...             settings, build and state of the process
//	GET      /api/v1/openapi.json           description of the API
//
// All endpoints except reload are read-only. The pages are complete without
// JavaScript and load nothing from other hosts.
package web

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"net/netip"
	"strings"
	"time"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/exporter/activity"
	"github.com/ksyun-tap/ksyun-tap/exporter/diagnosis"
	"github.com/ksyun-tap/ksyun-tap/exporter/feed"
	"github.com/ksyun-tap/ksyun-tap/exporter/groups"
	"github.com/ksyun-tap/ksyun-tap/exporter/har"
	"github.com/ksyun-tap/ksyun-tap/exporter/journal"
)

// Options configures the admin handler. The functions may be called
// concurrently.
type Options struct {
	Version string
	Metrics http.Handler     // if nil, /metrics is not served
	Journal *journal.Journal // required
	// Settle waits until the failures that were observed before are in the journal, or
	// ctx is done, and reports whether it had to wait. If nil, they are there at once.
	Settle func(ctx context.Context) (waited bool)
	// Groups, Activity and Feed are empty if they are nil.
	Groups   *groups.Table
	Activity *activity.Activity
	Feed     *feed.Feed
	// Diagnoser has the inventory and the incidents, which are empty if it is nil.
	Diagnoser *diagnosis.Diagnoser
	Status    Status
	// Ready returns an error while the program is not ready for calls. If the
	// function is nil, the program is always ready.
	Ready func() error
	// Reload reloads the configuration. If it is nil, reload responds with 403.
	Reload func() error
	// Profiles enables the profiles of net/http/pprof, without that of the command
	// line, which may have secrets.
	Profiles bool
	// Proxy is the URL of the proxy for programs, which the page without calls names.
	Proxy string
	// Catalog returns the error catalogue. If nil, it is the default one.
	Catalog func() *classify.Catalog
	// Evidence returns what is kept of the exchange of a failure, or nil. If the
	// function is nil, nothing is kept.
	Evidence func(id string) *har.Details
	// TraceURL and LogsURL lead from a failure to its trace and its log lines.
	TraceURL, LogsURL OutLink
	// Now is the clock. If nil, time.Now is used.
	Now func() time.Time
}

// complete sets what may be nil.
func (o *Options) complete() {
	if o.Groups == nil {
		o.Groups = groups.New(0)
	}
	if o.Activity == nil {
		o.Activity = new(activity.Activity)
	}
	if o.Diagnoser == nil {
		o.Diagnoser = diagnosis.New()
	}
	if o.Feed == nil {
		o.Feed = new(feed.Feed)
	}
	if o.Catalog == nil {
		o.Catalog = classify.DefaultCatalog
	}
	if o.Now == nil {
		o.Now = time.Now
	}
}

// NewHandler returns a handler for everything.
func NewHandler(opts Options) http.Handler {
	opts.complete()
	mux := opts.public()
	mux.HandleFunc("POST /-/reload", reload(opts.Reload))
	mux.HandleFunc("PUT /-/reload", reload(opts.Reload))
	mux.HandleFunc("GET /-/reload", notAllowed) // the pattern of pages would match it
	if opts.Profiles {
		profiles(mux)
	}
	a := api{opts}
	mux.HandleFunc("GET /api/v1/events", a.parsed(filterParams, a.events)) // not compressed: each event is sent at once

	in := func(l lane) func(path string, serve http.HandlerFunc) {
		return func(path string, serve http.HandlerFunc) { mux.Handle("GET "+path, l.serve(serve)) }
	}
	// A look-up is short and waits for look-ups only. People can wait longer for a search
	// than programs for the relay.
	lookUp, search := in(newLane(false)), in(newLane(true))
	lookUp("/api/v1/failures/{id}", a.parsed(nil, a.failure))
	lookUp("/api/v1/failures/{id}/ticket", a.parsed(ticketParams, a.ticket))
	lookUp("/api/v1/failures/{id}/har", a.parsed(nil, a.har))
	lookUp("/api/v1/groups/{id}", a.parsed(nil, a.group))
	search("/api/v1/failures", a.parsed(listParams, a.failures))
	search("/api/v1/activity", a.parsed(activityParams, a.activity))
	data := func(in func(string, http.HandlerFunc), path string, get func() any) {
		in("/api/v1/"+path, a.parsed(nil, func(w http.ResponseWriter, _ *http.Request, _ *query) { succeed(w, get()) }))
	}
	data(lookUp, "notices", func() any { return object{"notices": a.Journal.Notices()} })
	data(lookUp, "status/config", a.config)
	data(lookUp, "status/flags", a.flags)
	data(lookUp, "status/buildinfo", func() any { return a.Status.Build })
	data(lookUp, "status/runtimeinfo", func() any { return a.runtime() })
	data(search, "groups", a.groups)
	data(search, "incidents", a.incidents)
	data(search, "inventory", func() any { return a.Diagnoser.Inventory() })
	pages{a}.register(lookUp, search)
	mux.Handle("GET /api/v1/openapi.json", compressed(openAPI))
	mux.HandleFunc("GET /api/", noEndpoint)
	mux.Handle("GET /static/", compressed(static.ServeHTTP))
	return opts.protect(mux)
}

// NewMetricsHandler returns a handler for metrics and health only.
func NewMetricsHandler(opts Options) http.Handler { return opts.protect(opts.public()) }

// public returns the endpoints that have nothing of single calls.
func (o *Options) public() *http.ServeMux {
	mux := http.NewServeMux()
	if o.Metrics != nil {
		mux.Handle("GET /metrics", o.Metrics)
	}
	mux.HandleFunc("GET "+pathHealthy, healthy)
	mux.HandleFunc("GET "+pathReady, ready(o.Ready))
	return mux
}

// protect adds what all responses need.
func (o *Options) protect(next http.Handler) http.Handler {
	return secured(guarded(http.NewCrossOriginProtection().Handler(next)))
}

// The paths of the health checks.
const (
	pathHealthy = "/-/healthy"
	pathReady   = "/-/ready"
)

// profiles adds the profiles of net/http/pprof.
func profiles(mux *http.ServeMux) {
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", http.NotFound)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
}

// noEndpoint responds to paths that the API does not have.
func noEndpoint(w http.ResponseWriter, r *http.Request) {
	fail(w, http.StatusNotFound, errNotFound, fmt.Sprintf("no endpoint %s: see /api/v1/openapi.json", r.URL.Path))
}

// openAPI serves the description of the API.
func openAPI(w http.ResponseWriter, r *http.Request) {
	http.ServeFileFS(w, r, assets, "assets/openapi.json")
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

// notAllowed refuses a method.
func notAllowed(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Allow", "POST, PUT")
	http.Error(w, http.StatusText(http.StatusMethodNotAllowed), http.StatusMethodNotAllowed)
}

// reload reloads the configuration.
func reload(do func() error) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		if do == nil {
			http.Error(w, "reload by HTTP is not enabled: set --web.enable-lifecycle, or send SIGHUP", http.StatusForbidden)
			return
		}
		if err := do(); err != nil {
			http.Error(w, "failed to reload config: "+err.Error(), http.StatusInternalServerError)
			return
		}
		_, _ = fmt.Fprintln(w, "configuration reloaded")
	}
}

// contentPolicy allows a page to load its stylesheet, scripts, icon and data from
// and submit its form to this server, and nothing else.
const contentPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

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
func guarded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if onLoopback(r) && !ownName(r.Host) {
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

// ownName reports whether a Host header names this machine.
func ownName(host string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	name = strings.TrimSuffix(strings.Trim(name, "[]"), ".")
	if ip, err := netip.ParseAddr(name); err == nil {
		return ip.IsLoopback()
	}
	return strings.EqualFold(name, "localhost")
}
