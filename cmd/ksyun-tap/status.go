package main

import (
	"cmp"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/prometheus/common/version"

	"github.com/ksyun-tap/ksyun-tap/exporter/web"
)

// webStatus returns what the API reports on the running program. The settings have
// no secrets: those are in files, which they name.
func (t *tap) webStatus() web.Status {
	started := time.Now()
	return web.Status{
		Config: func() string {
			var b strings.Builder
			_ = t.reloaded.Load().settings.Print(&b) // a Builder accepts everything
			return b.String()
		},
		Settings: func() (all []web.Setting) {
			for _, x := range t.reloaded.Load().settings.Sourced() {
				all = append(all, web.Setting{Name: x.Name, Value: x.Value, Source: x.Source, Pending: (*web.Pending)(x.Pending)})
			}
			return all
		},
		Losses: func() (all []web.Loss) {
			for _, l := range t.metrics.Losses() {
				all = append(all, web.Loss(l))
			}
			return all
		},
		Build: web.BuildInfo{
			Version: version.Version, Revision: version.GetRevision(), Branch: version.Branch,
			BuildUser: version.BuildUser, BuildDate: version.BuildDate, GoVersion: version.GoVersion,
		},
		Runtime: func() web.RuntimeInfo {
			last := t.reloaded.Load()
			directory, _ := os.Getwd()
			host, _ := os.Hostname()
			return web.RuntimeInfo{
				StartTime: started.UTC(), CWD: directory, Hostname: host, ServerTime: time.Now().UTC(),
				ReloadConfigSuccess: last.ok, LastConfigTime: last.at.UTC(),
				GoroutineCount: runtime.NumGoroutine(), GOMAXPROCS: runtime.GOMAXPROCS(0), GOMEMLIMIT: debug.SetMemoryLimit(-1),
				GOGC: cmp.Or(os.Getenv("GOGC"), "100"), GODEBUG: os.Getenv("GODEBUG"), Reloads: last.reloads,
			}
		},
	}
}
