package main

import (
	"context"
	"net"
	"slices"
	"strings"

	"github.com/prometheus/common/version"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/collector/relay"
	"github.com/ksyun-tap/ksyun-tap/exporter/web"
	"github.com/ksyun-tap/ksyun-tap/internal/config"
	"github.com/ksyun-tap/ksyun-tap/internal/limits"
	"github.com/ksyun-tap/ksyun-tap/internal/systemd"
	"github.com/ksyun-tap/ksyun-tap/internal/tapclient"
)

// way is a kind of TCP listener. Its name is that of its socket with a service
// manager, and its key in the log.
type way struct {
	name, setting string
	addresses     func(*config.Settings) *[]string
	// serve serves the connections of a listener until the tap shuts down. It is
	// nil for the web listeners, which have servers of their own.
	serve func(*tap, net.Listener) error
}

// The names of ways that the rest of the package asks for.
const (
	wayProxy = "proxy"
	wayWeb   = "web"
	wayAdmin = "admin"
)

var ways = []way{
	{
		wayProxy, "proxy.listen-address",
		func(s *config.Settings) *[]string { return &s.ProxyListen },
		func(t *tap, ln net.Listener) error { return t.proxy.Serve(ln) },
	},
	{
		"proxy-tls", "proxy.tls-listen-address",
		func(s *config.Settings) *[]string { return &s.ProxyTLSListen },
		func(t *tap, ln net.Listener) error { return t.proxy.ServeTLS(ln) },
	},
	{
		"transparent", "transparent.listen-address",
		func(s *config.Settings) *[]string { return &s.Transparent },
		func(t *tap, ln net.Listener) error { return t.proxy.ServeTransparent(ln) },
	},
	{
		"resign", "resign.listen-address",
		func(s *config.Settings) *[]string { return &s.Resign.Listen },
		func(t *tap, ln net.Listener) error { return t.proxy.ServeResign(ln, t.resign.ResignAddress) },
	},
	{wayWeb, "web.listen-address", func(s *config.Settings) *[]string { return &s.WebListen }, nil},
	{wayAdmin, "web.admin-listen-address", func(s *config.Settings) *[]string { return &s.AdminListen }, nil},
}

// listen opens every listener that the settings name and that was not passed as a
// socket.
func (t *tap) listen(ctx context.Context, s *config.Settings) error {
	t.listeners = map[string]listeners{}
	queue := relay.QueueSize(limits.Queues(), maxConnections(s))
	for _, w := range ways {
		t.listeners[w.name] = t.service.sockets.Listeners(w.name)
		if t.listeners[w.name] == nil {
			for _, address := range *w.addresses(s) {
				if w.name == wayAdmin && slices.Contains(s.WebListen, address) {
					continue // one listener for both
				}
				ln, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
				if err != nil {
					return listenError(w.setting, address, err)
				}
				t.listeners[w.name] = append(t.listeners[w.name], ln)
			}
		}
		for _, ln := range t.listeners[w.name] {
			relay.ReceiveLittle(ln, queue)
		}
		if t.service.manager.Watches() {
			for i, ln := range t.listeners[w.name] {
				watched := systemd.NewListener(ln)
				t.watched, t.listeners[w.name][i] = append(t.watched, watched), watched
			}
		}
	}
	return nil
}

// address returns the first address of a way that is always listened on.
func (t *tap) address(way string) string { return t.listeners[way][0].Addr().String() }

// webServers creates the servers of the web listeners: of those with the failures,
// and of those with metrics and health only.
func (t *tap) webServers(s *config.Settings) (err error) {
	opts := t.webOptions(s)
	t.pages = web.NewHandler(opts)
	admin, public := t.listeners[wayAdmin], t.listeners[wayWeb]
	switch {
	case len(admin) == 0 && len(s.AdminListen) == 0:
		admin, public = public, nil
	case len(public) == len(s.WebListen): // not passed as sockets
		public = nil
		for i, ln := range t.listeners[wayWeb] {
			if slices.Contains(s.AdminListen, s.WebListen[i]) {
				admin = append(admin, ln)
			} else {
				public = append(public, ln)
			}
		}
	}
	cfg := web.ServerConfig{Handler: t.pages, ConfigFile: s.WebConfigFile, Log: t.log.Named("web"), MaxConnections: limits.WebConnections()}
	if len(public) > 0 { // there are two servers
		cfg.MaxConnections = max(1, cfg.MaxConnections/2)
	}
	if t.admin, err = web.NewServer(cfg, admin...); err != nil {
		return usageError{err}
	}
	t.page = admin[0].Addr().String()
	cfg.Handler = web.NewMetricsHandler(opts)
	if t.web, err = web.NewServer(cfg, public...); err != nil {
		return usageError{err}
	}
	return nil
}

// webOptions returns what the web listeners serve.
func (t *tap) webOptions(s *config.Settings) web.Options {
	opts := web.Options{
		Version: version.Version, Metrics: t.metrics.Handler(), Ready: t.notReady, Profiles: s.EnablePprof,
		Journal: t.journal, Settle: t.pipeline.Settle, Groups: t.groups, Activity: t.activity, Feed: t.feed, Diagnoser: t.pipeline.Diagnoser(),
		Status:   t.webStatus(),
		Catalog:  func() *classify.Catalog { return t.classifier.Load().Catalog() },
		TraceURL: s.TraceURL, LogsURL: s.LogsURL,
	}
	if len(t.listeners[wayProxy]) > 0 {
		opts.Proxy = tapclient.LocalURL(t.address(wayProxy), "")
	}
	if t.evidence != nil {
		opts.Evidence = t.evidence.Find
	}
	if s.EnableLifecycle {
		opts.Reload = t.reload
	}
	return opts
}

// listening returns the addresses of each way as a field of the log.
func (t *tap) listening() (fields []zap.Field) {
	for _, w := range ways {
		fields = append(fields, zap.Array(strings.ReplaceAll(w.name, "-", "_"), t.listeners[w.name]))
	}
	return fields
}

// listenAddresses returns the addresses that programs connect to.
func listenAddresses(s *config.Settings) (all []string) {
	for _, w := range ways {
		if w.serve != nil {
			all = slices.Concat(all, *w.addresses(s))
		}
	}
	return all
}

// listeners logs the addresses of listeners.
type listeners []net.Listener

// MarshalLogArray implements zapcore.ArrayMarshaler.
func (l listeners) MarshalLogArray(enc zapcore.ArrayEncoder) error {
	for _, ln := range l {
		enc.AppendString(ln.Addr().String())
	}
	return nil
}
