package main

import (
	"fmt"
	"os"
	"slices"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/ksyun-tap/ksyun-tap/exporter/diagnosis"
	"github.com/ksyun-tap/ksyun-tap/internal/config"
	"github.com/ksyun-tap/ksyun-tap/internal/memory"
	"github.com/ksyun-tap/ksyun-tap/internal/proxyenv"
)

// reload reads the settings again and applies those that can change at run time.
// If it returns an error, the old settings remain in use.
func (t *tap) reload() (err error) {
	t.service.manager.Reloading()
	defer func() {
		t.service.manager.Ready(t.status(err))
		now := time.Now()
		t.metrics.SetReload(err, now)
		if err != nil {
			last := *t.reloaded.Load()
			last.ok = false
			t.reloaded.Store(&last)
			t.log.Error("reload failed; the old settings remain in use", zap.Error(err))
			return
		}
		t.pipeline.Diagnoser().Note(diagnosis.TriggerReload, now)
	}()
	next, err := t.reread()
	if err != nil {
		return err
	}
	rest, err := config.Reload(live{t}, t.settings, next)
	if err != nil {
		return err
	}
	if len(rest) > 0 {
		t.log.Warn("some changed settings need a restart", zap.Strings("settings", rest))
	}
	t.reloaded.Store(t.reloaded.Load().next(next, time.Now()))
	t.log.Info("settings reloaded")
	memory.Return()
	return nil
}

// live is a running tap whose settings are reloaded.
type live struct{ t *tap }

var _ config.Live = live{}

// Routing implements config.Live. It also reads the credentials of the re-signing
// address again.
func (l live) Routing(s *config.Settings) (apply func(), err error) {
	t := l.t
	policy, classifier, err := resolve(s, proxyenv.Read(os.Getenv, listenAddresses(s)))
	if err != nil {
		return nil, err
	}
	if err := t.resign.reload(); err != nil {
		return nil, err
	}
	change, err := t.proxy.Prepare(policy, classifier)
	if err != nil {
		return nil, err
	}
	return func() {
		change()
		t.classifier.Store(classifier)
		if t.ca != nil && !slices.Equal(t.settings.TapHosts, s.TapHosts) {
			t.log.Warn("newly tapped hosts are not intercepted before a restart: the CA may not sign for them")
		}
	}, nil
}

// LogLevel implements config.Live.
func (l live) LogLevel(s *config.Settings) (apply func(), err error) {
	level, err := zapcore.ParseLevel(s.LogLevel)
	return func() { l.t.log.Level.SetLevel(level) }, err
}

// SuccessRatio implements config.Live.
func (l live) SuccessRatio(s *config.Settings) (apply func(), err error) {
	return func() { l.t.traces.SetSuccessRatio(s.TracesSuccessRatio) }, nil
}

// reopen reopens the log file.
func (t *tap) reopen() error {
	if err := t.log.Reopen(); err != nil {
		return fmt.Errorf("reopen the log: %w", err)
	}
	return nil
}

// reloaded is the result of the last reload, or of the start.
type reloaded struct {
	settings *config.Settings // as loaded
	ok       bool
	at       time.Time   // of the last one that succeeded
	reloads  []time.Time // of the last maxReloads reloads that succeeded, oldest first
}

// maxReloads is how many reloads are remembered.
const maxReloads = 32

// next returns the state after a reload that succeeded at a time.
func (r *reloaded) next(s *config.Settings, at time.Time) *reloaded {
	all := append(slices.Clone(r.reloads), at.UTC())
	return &reloaded{s, true, at, all[max(0, len(all)-maxReloads):]}
}
