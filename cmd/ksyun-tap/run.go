package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"go.uber.org/zap"

	"github.com/ksyun-tap/ksyun-tap/internal/config"
	"github.com/ksyun-tap/ksyun-tap/internal/output"
)

// runTap implements the command run.
func runTap(ctx context.Context, s *config.Settings, reread func() (*config.Settings, error), std stdio) error {
	var t *tap
	by, err := openService(func(err error) { t.log.Error("cannot notify the service manager", zap.Error(err)) })
	if err != nil {
		return err
	}
	passed := addressesOf(by.sockets)
	setAddresses(s, passed)
	t, err = newTap(ctx, s, withSockets(passed, reread), outputs{log: output.Direct(std.err), console: std.out}, by)
	if err != nil {
		return err
	}
	if output.IsTerminal(std.out) && output.IsTerminal(std.err) {
		if _, err := io.WriteString(std.out, t.nextSteps()); err != nil {
			return err
		}
	}
	stop := t.handleSignals()
	defer stop()
	err = t.serve(ctx)
	if lost, ok := errors.AsType[lostLogError](err); ok {
		// As with spans: the service itself ended well.
		fmt.Fprintln(std.err, "ksyun-tap:", lost)
		return nil
	}
	return err
}

// nextSteps returns what to set in programs and what to open, in three lines.
func (t *tap) nextSteps() string {
	set := "nothing: there is no proxy listener, see docs/ways-in.md for the others"
	if len(t.listeners[wayProxy]) > 0 {
		proxy := localURL(t.address(wayProxy), "")
		set = "HTTP_PROXY=" + proxy
		if t.ca != nil {
			set += " HTTPS_PROXY=" + proxy + ", and trust the CA (ksyun-tap ca export)"
		} else {
			set += " (calls over HTTPS are seen only with --intercept)"
		}
	}
	page := localURL(t.page, "")
	return "Set in the program:  " + set + "\n" +
		"Open:                " + page + "/\n" +
		"Follow failures:     ksyun-tap failures --follow --url=" + page + "\n"
}

// handleSignals reopens the log on SIGHUP and SIGUSR1, and reloads the settings on
// SIGHUP, until the returned function is called.
func (t *tap) handleSignals() (stop func()) {
	c := make(chan os.Signal, 2)
	signal.Notify(c, append(reopening, syscall.SIGHUP)...)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for sig := range c {
			if err := t.reopen(); err != nil {
				t.log.Error("cannot reopen the log; the old file remains in use", zap.Error(err))
			}
			if sig == syscall.SIGHUP {
				_ = t.reload() // logs and counts its errors
			}
		}
	}()
	return func() {
		signal.Stop(c)
		close(c)
		<-done
	}
}
