package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"syscall"

	"github.com/alecthomas/kingpin/v2"

	"github.com/ksyun-tap/ksyun-tap/collector/ca"
	"github.com/ksyun-tap/ksyun-tap/exporter/journal/disk"
	"github.com/ksyun-tap/ksyun-tap/exporter/logs"
	"github.com/ksyun-tap/ksyun-tap/exporter/otlp"
	"github.com/ksyun-tap/ksyun-tap/exporter/web"
	"github.com/ksyun-tap/ksyun-tap/internal/config"
	"github.com/ksyun-tap/ksyun-tap/internal/proxyenv"
	"github.com/ksyun-tap/ksyun-tap/internal/systemd"
	"github.com/ksyun-tap/ksyun-tap/internal/trust"
	"github.com/ksyun-tap/ksyun-tap/usererror"
)

// checkConfig checks everything that a start of the tap would, without changing
// anything.
type checkConfig struct {
	settings *config.Settings
	print    bool
}

func newCheckConfig(app *kingpin.Application, s *config.Settings, file config.File) *checkConfig {
	v := &checkConfig{settings: s}
	c := app.Command("check-config", "Check the settings, the environment, and all files and addresses that they name, as a start of the tap would.")
	c.Flag("print", "Print the effective settings as a configuration file, with the source of each.").BoolVar(&v.print)
	s.Register(c, file)
	s.RegisterLookup(c, file, "config.file")
	return v
}

func (v *checkConfig) run(ctx context.Context, std stdio) error {
	mark := ""
	if v.print {
		if err := v.settings.Print(std.out); err != nil {
			return err
		}
		mark = "# " // a comment in the printed file
	}
	warnings, err := v.check(ctx)
	for _, w := range warnings {
		fmt.Fprintf(std.out, "%swarning: %s\n", mark, w)
	}
	if err != nil {
		return usageError{err}
	}
	_, err = fmt.Fprintf(std.out, "%sthe settings are valid\n", mark)
	return err
}

// check returns all errors, and the problems that a start would only log.
func (v *checkConfig) check(ctx context.Context) (warnings []string, err error) {
	s := v.settings
	out := proxyenv.Read(os.Getenv, listenAddresses(s))
	_, _, resolveErr := resolve(s, out)
	errs := []error{resolveErr}
	if resolveErr == nil { // otherwise the file may be a pipe
		errs = append(errs, web.CheckConfig(s.WebConfigFile))
	}
	if err := logs.CheckFile(s.LogFile); err != nil {
		errs = append(errs, usererror.At("--log.file", err))
	}
	if resolveErr == nil {
		_, err := s.CredentialNames()
		errs = append(errs, err)
	}
	_, err = s.Lookup.HTTPClients()
	errs = append(errs, err)
	if s.JournalPath != "" {
		errs = append(errs, disk.Check(s.JournalPath))
	}
	if len(s.Resign.Listen) > 0 && resolveErr == nil {
		_, err := openResign(s)
		errs = append(errs, err)
	}
	if s.Intercept && s.CADir != "" {
		errs = append(errs, usererror.At("--intercept.ca-dir", ca.Check(caConfig(s))))
	}
	warnings, busy := v.checkListeners(ctx)
	errs = append(errs, busy...)

	for _, unknown := range config.UnknownVariables(os.Environ()) {
		errs = append(errs, unknown)
	}
	if fits := maxConnections(s); fits < s.MaxConnections {
		warnings = append(warnings, tooManyConnections(s.MaxConnections, fits))
	}
	_, ofService := systemd.Open(nil)
	for _, p := range slices.Concat(out.Problems, trust.Ignored(), ofService, otlp.ReadEnvironment(os.Getenv).Problems) {
		warnings = append(warnings, p.String())
	}
	return warnings, errors.Join(errs...)
}

// checkListeners opens and closes every address. An address that is in use is
// only a warning, because the tap may be running.
func (v *checkConfig) checkListeners(ctx context.Context) (warnings []string, errs []error) {
	report := func(setting, address string, err error) {
		if err = listenError(setting, address, err); errors.Is(err, syscall.EADDRINUSE) {
			warnings = append(warnings, err.Error())
			return
		}
		errs = append(errs, err)
	}
	for _, row := range ways {
		for _, a := range *row.addresses(v.settings) {
			if row.name == wayAdmin && slices.Contains(v.settings.WebListen, a) {
				continue // one listener for both
			}
			ln, err := new(net.ListenConfig).Listen(ctx, "tcp", a)
			if err != nil {
				report(row.setting, a, err)
				continue
			}
			_ = ln.Close()
		}
	}
	if a := v.settings.CSMListen; a != "" {
		conn, err := new(net.ListenConfig).ListenPacket(ctx, "udp", a)
		if err != nil {
			report("csm.listen-address", a, err)
		} else {
			_ = conn.Close()
		}
	}
	return warnings, errs
}
