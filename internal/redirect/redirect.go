// Package redirect installs the rules by which Linux redirects the connections
// of this host or pod to the tap, and takes them away again. The rules stand in
// a table or chain of their own, which is put in place and taken away as a
// whole, so that installing twice is installing once and nothing is left behind.
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
)

// Rules say what is redirected: connections over TCP that begin here, to any of
// Ports, but for those over the loopback interface.
type Rules struct {
	To    uint16   // port of the tap's listener, on 127.0.0.1 and ::1
	Ports []uint16 // of the servers
	// What is left out: the tap's own connections, by user or mark, and networks.
	ExcludeUIDs  []uint32
	ExcludeMark  uint32 // 0 is none
	ExcludeCIDRs []netip.Prefix
}

// name is that of the table (nftables) or, in capitals, of the chain (iptables).
const name = "ksyun_tap"

// maxPorts is what iptables' multiport takes.
const maxPorts = 15

// Validate returns an error unless the rules can work.
func (r *Rules) Validate() error {
	switch {
	case r.To == 0:
		return errors.New("--to-port is missing: give the port of --transparent.listen-address")
	case len(r.Ports) == 0 || len(r.Ports) > maxPorts:
		return fmt.Errorf("%d ports to redirect: give 1 to %d with --port", len(r.Ports), maxPorts)
	case len(r.ExcludeUIDs) == 0 && r.ExcludeMark == 0:
		return errors.New("the tap's own connections would come back to it: leave them out with --exclude-uid=UID (the user it runs as) or --exclude-mark=MARK (its --upstream.mark)")
	}
	for _, p := range r.Ports {
		if p == 0 || p == r.To {
			return fmt.Errorf("port %d cannot be redirected: give those of the servers with --port", p)
		}
	}
	return nil
}

// Backend is a system by which rules are installed.
type Backend interface {
	// Name is "nft" or "iptables".
	Name() string
	// Script spells the rules as the backend's tools read them.
	Script(r *Rules) string
	// Install puts the rules in place of those installed before.
	Install(ctx context.Context, r *Rules) error
	// Remove takes away what Install installed, if anything.
	Remove(ctx context.Context) error

	works(ctx context.Context) error
}

// Backends returns those of a name, "auto" being all, that work here; the first
// is to be preferred. There is one at least, or an error.
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
		return nil, fmt.Errorf("no way to install rules: %w", errors.Join(why...))
	}
	return working, nil
}

// Install puts the rules in place of those installed before, by whichever
// backend.
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

// Named returns the backends of a name, "auto" being all.
func Named(which string) []Backend {
	all := []Backend{nft{}, iptables{}}
	return slices.DeleteFunc(all, func(b Backend) bool { return which != "auto" && which != b.Name() })
}

// nft installs by nftables: one table for IPv4 and IPv6, in one transaction. It
// speaks to the kernel itself, so that an image needs no tools.
type nft struct{}

// Name implements Backend.
func (nft) Name() string { return "nft" }

// nftRemoval first adds the table, so that it can be deleted whether it was
// there or not.
const nftRemoval = "table inet " + name + "\ndelete table inet " + name + "\n"

// Script implements Backend. Install does what nft would do with it.
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

// explain tells what to do about what the kernel said, where that is known.
func explain(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.EPERM):
		return fmt.Errorf("nftables: %w%s", err, permission)
	case errors.Is(err, syscall.EPROTONOSUPPORT), errors.Is(err, syscall.ENOENT), errors.Is(err, syscall.EOPNOTSUPP):
		return fmt.Errorf("nftables: %w: load the kernel's modules nf_tables, nft_chain_nat and nft_redir, or use iptables", err)
	}
	return fmt.Errorf("nftables: %w", err)
}

// iptables installs by iptables and ip6tables: a chain each, in a transaction
// each.
type iptables struct{}

const chain = "KSYUN_TAP"

// families are the tools of IPv4 and IPv6.
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
			continue // not there
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

// hooked reports whether connections come to our chain already.
func (iptables) hooked(ctx context.Context, tool string) bool {
	return run(ctx, "", tool, "-w", "-t", "nat", "-C", "OUTPUT", "-p", "tcp", "-j", chain) == nil
}

// Script implements Backend.
func (b iptables) Script(r *Rules) string {
	return "# iptables-restore --noflush\n" + b.script(r, true, false) + "# ip6tables-restore --noflush\n" + b.script(r, false, false)
}

func (iptables) script(r *Rules, v4, hooked bool) string {
	var b strings.Builder
	b.WriteString("*nat\n:" + chain + " - [0:0]\n") // made, or emptied
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

// permission is what to do about its lack.
const permission = ": run it as root, or with the capability NET_ADMIN"

// run runs a tool. Its error tells what the tool said, and what to do where
// that is known.
func run(ctx context.Context, input, tool string, args ...string) error {
	cmd := exec.CommandContext(ctx, tool, args...) //nolint:gosec // of our own choice
	cmd.Stdin = strings.NewReader(input)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	err := cmd.Run()
	if err == nil {
		return nil
	}
	text := strings.TrimSpace(said.String())
	mend := ""
	switch {
	case errors.Is(err, exec.ErrNotFound):
		return fmt.Errorf("%s is not installed: install iptables, or have a kernel with nftables", tool)
	case strings.Contains(text, "Operation not permitted"), strings.Contains(text, "Permission denied"), strings.Contains(text, "must be root"):
		mend = permission
	}
	line, _, _ := strings.Cut(text, "\n")
	return fmt.Errorf("%s: %w: %s%s", tool, err, line, mend)
}
