package main

import (
	"context"
	"fmt"
	"strconv"

	"github.com/alecthomas/kingpin/v2"

	"github.com/ksyun-tap/ksyun-tap/internal/config"
	"github.com/ksyun-tap/ksyun-tap/internal/redirect"
	"github.com/ksyun-tap/ksyun-tap/usererror"
)

// initRedirect installs the rules that redirect connections to the transparent
// listener.
type initRedirect struct {
	rules   redirect.Rules
	backend string
	undo    bool
	dryRun  bool
}

func newInitRedirect(app *kingpin.Application) *initRedirect {
	v := &initRedirect{}
	c := app.Command("init-redirect", "Install Linux rules that redirect the connections of programs on this host, or in this pod, to ports 80 and 443 to the tap's --transparent.listen-address. Replaces the rules of an earlier run. Needs root or NET_ADMIN.")
	c.Flag("to-port", "Port of the tap's --transparent.listen-address.").Default("18183").SetValue(config.Parsed(&v.rules.To, parseNumber[uint16]))
	c.Flag("port", "Destination port of the connections to redirect. Repeatable.").Default("80", "443").SetValue(config.List(&v.rules.Ports, parseNumber[uint16]))
	c.Flag("exclude-uid", "User whose connections are not redirected: the one that the tap runs as. Repeatable.").PlaceHolder("UID").SetValue(config.List(&v.rules.ExcludeUIDs, parseNumber[uint32]))
	c.Flag("exclude-mark", "Mark of connections that are not redirected: the tap's --upstream.mark.").PlaceHolder("MARK").SetValue(config.Mark(&v.rules.ExcludeMark))
	c.Flag("exclude-cidr", "Destination network of connections that are not redirected. Repeatable.").PlaceHolder("CIDR").SetValue(config.List(&v.rules.ExcludeCIDRs, config.ParsePrefix))
	c.Flag("backend", "nft (the kernel's nftables; needs no tool), iptables, or auto for the first that works.").Default("auto").SetValue(config.OneOf(&v.backend, "auto", "nft", "iptables"))
	c.Flag("undo", "Remove the rules instead.").BoolVar(&v.undo)
	c.Flag("dry-run", "Print the rules without installing them. Not with --undo.").BoolVar(&v.dryRun)
	return v
}

func (v *initRedirect) run(ctx context.Context, std stdio) error {
	if v.undo && v.dryRun {
		return usageError{usererror.New("--undo and --dry-run cannot be combined", "drop one")}
	}
	if !v.undo {
		if err := v.rules.Validate(); err != nil {
			return usageError{err}
		}
	}
	if v.dryRun {
		_, err := fmt.Fprint(std.out, redirect.Named(v.backend)[0].Script(&v.rules))
		return err
	}
	backends, err := redirect.Backends(ctx, v.backend)
	if err != nil {
		return err
	}
	if v.undo {
		for _, b := range backends {
			if err := b.Remove(ctx); err != nil {
				return fmt.Errorf("remove the rules: %w", err)
			}
		}
		_, err = fmt.Fprintln(std.out, "connections are no longer redirected")
		return err
	}
	if err := redirect.Install(ctx, backends[0], &v.rules); err != nil {
		return fmt.Errorf("install the rules: %w", err)
	}
	_, err = fmt.Fprintf(std.out, "connections to ports %v are redirected to port %d (%s)\n", v.rules.Ports, v.rules.To, backends[0].Name())
	return err
}

// parseNumber parses a number that fits into T.
func parseNumber[T uint16 | uint32](text string) (T, error) {
	n, err := strconv.ParseUint(text, 10, 32)
	if most := ^T(0); err != nil || n > uint64(most) {
		return 0, usererror.New(strconv.Quote(text)+" is not a number", fmt.Sprintf("write 0 to %d", most))
	}
	return T(n), nil
}
