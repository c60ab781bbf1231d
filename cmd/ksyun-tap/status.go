package main

import (
	"cmp"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/prometheus/common/version"

	"github.com/ksyun-tap/ksyun-tap/exporter/metrics"
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
		Losses: t.losses,
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

// losses returns what was lost because a queue or a limit was exceeded, from the
// metrics.
func (t *tap) losses() (all []web.Loss) {
	kinds := []string{"metrics", "traces", "logs", "sampled", "diagnosis", "unread", "unobserved", "panics"}
	sums := map[string]float64{}
	families, _ := t.metrics.Gatherer().Gather() // those without errors are returned
	for _, f := range families {
		for _, m := range f.GetMetric() {
			switch f.GetName() {
			case metrics.Dropped.Name:
				labels := map[string]string{}
				for _, l := range m.GetLabel() {
					labels[l.GetName()] = l.GetValue()
				}
				kind := labels["sink"]
				if labels["reason"] == string(metrics.ReasonSampled) {
					kind = "sampled" // on purpose
				}
				sums[kind] += m.GetCounter().GetValue()
			case metrics.Unread.Name:
				sums["unread"] += m.GetCounter().GetValue()
			case metrics.Unobserved.Name:
				sums["unobserved"] += m.GetCounter().GetValue()
			case metrics.Panics.Name:
				sums["panics"] += m.GetCounter().GetValue()
			}
		}
	}
	for _, k := range kinds {
		all = append(all, web.Loss{Kind: k, Count: uint64(sums[k])})
	}
	return all
}
