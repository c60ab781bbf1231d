package redirect

import (
	"fmt"
	"net/netip"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/ksyun-tap/ksyun-tap/internal/golden"
	"github.com/ksyun-tap/ksyun-tap/internal/testfile"
)

// TestScript compares the rules with testdata; test/e2e installs them.
func TestScript(t *testing.T) {
	rules := &Rules{
		To: 18183, Ports: []uint16{80, 443}, ExcludeUIDs: []uint32{65532, 0}, ExcludeMark: 0x6b73,
		ExcludeCIDRs: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")},
	}
	for _, b := range Named("auto") {
		file := "testdata/" + b.Name() + ".golden"
		got := b.Script(rules)
		golden.Check(t, file, []byte(got))
	}
}

func TestValidate(t *testing.T) {
	good := Rules{To: 1, Ports: []uint16{80}, ExcludeUIDs: []uint32{0}}
	f := func(want string, change func(r *Rules)) {
		t.Helper()
		r := good
		change(&r)
		err := r.Validate()
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	f("", func(*Rules) {})
	f("", func(r *Rules) { r.ExcludeUIDs, r.ExcludeMark = nil, 1 })
	f("--to-port is missing", func(r *Rules) { r.To = 0 })
	f("0 ports to redirect", func(r *Rules) { r.Ports = nil })
	f("16 ports to redirect", func(r *Rules) { r.Ports = make([]uint16, 16) })
	f("port 0 cannot", func(r *Rules) { r.Ports = []uint16{80, 0} })
	f("port 1 cannot", func(r *Rules) { r.Ports = []uint16{1} })
	f("--exclude-uid=UID", func(r *Rules) { r.ExcludeUIDs = nil })
}

// TestTools replaces iptables by others, and by none.
func TestTools(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("PATH", dir)
	_, err := Backends(t.Context(), "iptables")
	if err == nil || err.Error() != "cannot install rules on this system: iptables is not installed: install iptables, or use a kernel with nftables" {
		t.Errorf("no tools: %v", err)
	}
	script := "#!/bin/sh\necho 'iptables: Operation not permitted' >&2\necho more >&2\nexit 1\n"
	testfile.Write(t, dir+"/iptables", script, 0o700)
	_, err = Backends(t.Context(), "iptables")
	if err == nil || err.Error() != "cannot install rules on this system: iptables: exit status 1: iptables: Operation not permitted: run it as root, or with the capability NET_ADMIN" {
		t.Errorf("not permitted: %v", err)
	}
	for _, tool := range []string{"iptables", "ip6tables"} {
		testfile.Write(t, dir+"/"+tool, "#!/bin/sh\n", 0o700)
	}
	if got, err := Backends(t.Context(), "iptables"); err != nil || len(got) != 1 || got[0].Name() != "iptables" {
		t.Errorf("iptables: %v, %v", got, err)
	}
}

// TestKernelSays has the kernel's refusals explained.
func TestKernelSays(t *testing.T) {
	for _, tc := range []struct {
		err  error
		want string
	}{
		{nil, ""},
		{fmt.Errorf("receive: %w", syscall.EPERM), "nftables: receive: operation not permitted: run it as root, or with the capability NET_ADMIN"},
		{syscall.EPROTONOSUPPORT, "nftables: protocol not supported: load the kernel modules nf_tables, nft_chain_nat and nft_redir, or use iptables"},
		{syscall.ENOENT, "nftables: no such file or directory: load the kernel modules nf_tables, nft_chain_nat and nft_redir, or use iptables"},
		{syscall.EINVAL, "nftables: invalid argument"},
	} {
		got := ""
		if err := explain(tc.err); err != nil {
			got = err.Error()
		}
		assert.Equal(t, tc.want, got)
	}
}
