// Package redirect installs and removes the rules with which Linux redirects the
// connections of this host or pod to the tap. The rules are in a table or chain of
// their own, which is replaced and removed as a whole. So installing twice has the
// same effect as once, and removing leaves nothing behind.
package redirect

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/ksyun-tap/ksyun-tap/usererror"
)

// Rules say which connections are redirected: TCP connections from this host to
// one of Ports, except over the loopback interface.
type Rules struct {
	To    uint16   // port of the tap's listener, on 127.0.0.1 and ::1
	Ports []uint16 // destination ports
	// The connections that are excluded, among them the tap's own.
	ExcludeUIDs  []uint32
	ExcludeMark  uint32 // 0 means none
	ExcludeCIDRs []netip.Prefix
}

// name is the name of the nftables table.
const name = "ksyun_tap"

// maxPorts is the limit of iptables' multiport match.
const maxPorts = 15

// Validate returns an error if the rules could not work.
func (r *Rules) Validate() error {
	switch {
	case r.To == 0:
		return usererror.New("--to-port is missing", "set it to the port of --transparent.listen-address")
	case len(r.Ports) == 0 || len(r.Ports) > maxPorts:
		return usererror.New(fmt.Sprintf("%d ports to redirect", len(r.Ports)), fmt.Sprintf("set 1 to %d with --port", maxPorts))
	case len(r.ExcludeUIDs) == 0 && r.ExcludeMark == 0:
		return usererror.New("the tap's own connections would be redirected to it", "exclude them with --exclude-uid=UID (the user that it runs as) or --exclude-mark=MARK (its --upstream.mark)")
	}
	for _, p := range r.Ports {
		if p == 0 || p == r.To {
			return usererror.New(fmt.Sprintf("port %d cannot be redirected", p), "set the servers' ports with --port")
		}
	}
	return nil
}

// Backend installs rules with one of the kernel's mechanisms.
type Backend interface {
	// Name is "nft" or "iptables".
	Name() string
	// Script returns the rules in the syntax of the backend's tools.
	Script(r *Rules) string
	// Install replaces the rules that were installed before.
	Install(ctx context.Context, r *Rules) error
	// Remove removes the rules that Install installed, if any.
	Remove(ctx context.Context) error

	works(ctx context.Context) error
}

// Backends returns the backends with the given name, or all for "auto", that work
// on this system, the preferred one first. If none does, it returns an error.
func Backends(ctx context.Context, which string) ([]Backend, error) {
	var working []Backend
	var why []error
	for _, b := range Named(which) {
		if err := b.works(ctx); err != nil {
			why = append(why, err)
			continue
		}
		working = append(working, b)
	}
	if len(working) == 0 {
		return nil, fmt.Errorf("cannot install rules on this system: %w", errors.Join(why...))
	}
	return working, nil
}

// Install installs the rules with one backend, and removes those of the others.
func Install(ctx context.Context, by Backend, r *Rules) error {
	for _, b := range Named("auto") {
		if b.Name() != by.Name() && b.works(ctx) == nil {
			if err := b.Remove(ctx); err != nil {
				return err
			}
		}
	}
	return by.Install(ctx, r)
}

// Named returns the backends with the given name, or all for "auto".
func Named(which string) []Backend {
	all := []Backend{nft{}, iptables{}}
	return slices.DeleteFunc(all, func(b Backend) bool { return which != "auto" && which != b.Name() })
}

// nft uses nftables: one table for IPv4 and IPv6, replaced in one transaction. It
// talks to the kernel directly, so that an image needs no tools.
type nft struct{}

// Name implements Backend.
func (nft) Name() string { return "nft" }

// nftRemoval adds the table before deleting it, because deleting a table that does
// not exist is an error.
const nftRemoval = "table inet " + name + "\ndelete table inet " + name + "\n"

// Script implements Backend. Install has the same effect as running it with nft.
func (nft) Script(r *Rules) string {
	var b strings.Builder
	b.WriteString(nftRemoval)
	b.WriteString("table inet " + name + " {\n\tchain output {\n")
	b.WriteString("\t\ttype nat hook output priority -100; policy accept;\n")
	b.WriteString("\t\toifname \"lo\" return\n")
	for _, uid := range r.ExcludeUIDs {
		fmt.Fprintf(&b, "\t\tmeta skuid %d return\n", uid)
	}
	if r.ExcludeMark != 0 {
		fmt.Fprintf(&b, "\t\tmeta mark 0x%x return\n", r.ExcludeMark)
	}
	for _, p := range r.ExcludeCIDRs {
		family := "ip6"
		if p.Addr().Is4() {
			family = "ip"
		}
		fmt.Fprintf(&b, "\t\t%s daddr %s return\n", family, p)
	}
	fmt.Fprintf(&b, "\t\ttcp dport { %s } redirect to :%d\n", join(r.Ports, ", "), r.To)
	b.WriteString("\t}\n}\n")
	return b.String()
}

// explain adds a hint to an error of the kernel.
func explain(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.EPERM):
		return fmt.Errorf("nftables: %w%s", err, permission)
	case errors.Is(err, syscall.EPROTONOSUPPORT), errors.Is(err, syscall.ENOENT), errors.Is(err, syscall.EOPNOTSUPP):
		return usererror.At("nftables", usererror.Wrap(err, "load the kernel modules nf_tables, nft_chain_nat and nft_redir, or use iptables"))
	}
	return fmt.Errorf("nftables: %w", err)
}

// iptables uses iptables and ip6tables: one chain each, replaced in one
// transaction each.
type iptables struct{}

const chain = "KSYUN_TAP"

// families lists the tools for IPv4 and IPv6.
var families = []struct {
	tool string
	v4   bool
}{{"iptables", true}, {"ip6tables", false}}

// Name implements Backend.
func (iptables) Name() string { return "iptables" }

func (iptables) works(ctx context.Context) error {
	for _, f := range families {
		if err := run(ctx, "", f.tool, "-w", "-t", "nat", "-S", "OUTPUT"); err != nil {
			return err
		}
	}
	return nil
}

// Install implements Backend.
func (b iptables) Install(ctx context.Context, r *Rules) error {
	for _, f := range families {
		if err := run(ctx, b.script(r, f.v4, b.hooked(ctx, f.tool)), f.tool+"-restore", "-w", "--noflush"); err != nil {
			return errors.Join(err, b.Remove(context.WithoutCancel(ctx)))
		}
	}
	return nil
}

// Remove implements Backend.
func (b iptables) Remove(ctx context.Context) error {
	var failed []error
	for _, f := range families {
		if run(ctx, "", f.tool, "-w", "-t", "nat", "-S", chain) != nil {
			continue // the chain does not exist
		}
		script := "*nat\n:" + chain + " - [0:0]\n"
		if b.hooked(ctx, f.tool) {
			script += "-D OUTPUT -p tcp -j " + chain + "\n"
		}
		script += "-X " + chain + "\nCOMMIT\n"
		failed = append(failed, run(ctx, script, f.tool+"-restore", "-w", "--noflush"))
	}
	return errors.Join(failed...)
}

// hooked reports whether the OUTPUT chain already jumps to ours.
func (iptables) hooked(ctx context.Context, tool string) bool {
	return run(ctx, "", tool, "-w", "-t", "nat", "-C", "OUTPUT", "-p", "tcp", "-j", chain) == nil
}

// Script implements Backend.
func (b iptables) Script(r *Rules) string {
	return "# iptables-restore --noflush\n" + b.script(r, true, false) + "# ip6tables-restore --noflush\n" + b.script(r, false, false)
}

func (iptables) script(r *Rules, v4, hooked bool) string {
	var b strings.Builder
	b.WriteString("*nat\n:" + chain + " - [0:0]\n") // creates or empties the chain
	b.WriteString("-A " + chain + " -o lo -j RETURN\n")
	for _, uid := range r.ExcludeUIDs {
		fmt.Fprintf(&b, "-A %s -m owner --uid-owner %d -j RETURN\n", chain, uid)
	}
	if r.ExcludeMark != 0 {
		fmt.Fprintf(&b, "-A %s -m mark --mark 0x%x -j RETURN\n", chain, r.ExcludeMark)
	}
	for _, p := range r.ExcludeCIDRs {
		if p.Addr().Is4() == v4 {
			fmt.Fprintf(&b, "-A %s -d %s -j RETURN\n", chain, p)
		}
	}
	fmt.Fprintf(&b, "-A %s -p tcp -m multiport --dports %s -j REDIRECT --to-ports %d\n", chain, join(r.Ports, ","), r.To)
	if !hooked {
		b.WriteString("-A OUTPUT -p tcp -j " + chain + "\n")
	}
	b.WriteString("COMMIT\n")
	return b.String()
}

func join(ports []uint16, with string) string {
	all := make([]string, len(ports))
	for i, p := range ports {
		all[i] = strconv.Itoa(int(p))
	}
	return strings.Join(all, with)
}

// permission is the hint for a lack of permission.
const permission = ": run it as root, or with the capability NET_ADMIN"

// run runs a tool. Its error contains the first line of the tool's output, and a
// hint if there is one.
func run(ctx context.Context, input, tool string, args ...string) error {
	cmd := exec.CommandContext(ctx, tool, args...) //nolint:gosec // the arguments are ours
	cmd.Stdin = strings.NewReader(input)
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	err := cmd.Run()
	if err == nil {
		return nil
	}
	text := strings.TrimSpace(output.String())
	hint := ""
	switch {
	case errors.Is(err, exec.ErrNotFound):
		return usererror.New(tool+" is not installed", "install iptables, or use a kernel with nftables")
	case strings.Contains(text, "Operation not permitted"), strings.Contains(text, "Permission denied"), strings.Contains(text, "must be root"):
		hint = permission
	}
	line, _, _ := strings.Cut(text, "\n")
	return fmt.Errorf("%s: %w: %s%s", tool, err, line, hint)
}
