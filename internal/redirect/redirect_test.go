package redirect

import (
	"flag"
	"net/netip"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// TestScript compares the rules with testdata; internal/e2e installs them.
func TestScript(t *testing.T) {
	rules := &Rules{
		To: 18183, Ports: []uint16{80, 443}, ExcludeUIDs: []uint32{65532, 0}, ExcludeMark: 0x6b73,
		ExcludeCIDRs: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")},
	}
	for _, b := range Named("auto") {
		file := "testdata/" + b.Name() + ".golden"
		got := b.Script(rules)
		if *update {
			if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if want, err := os.ReadFile(file); err != nil || got != string(want) {
			t.Errorf("%s: %v\n%s", b.Name(), err, got)
		}
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

// TestTools replaces the tools by others, and by none.
func TestTools(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("PATH", dir)
	_, err := Backends(t.Context(), "auto")
	if err == nil || err.Error() != "no way to install rules: nft is not installed: install nftables or iptables\niptables is not installed: install nftables or iptables" {
		t.Errorf("no tools: %v", err)
	}
	script := "#!/bin/sh\necho 'Error: Could not process rule: Operation not permitted' >&2\necho more >&2\nexit 1\n"
	if err := os.WriteFile(dir+"/nft", []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	_, err = Backends(t.Context(), "nft")
	if err == nil || err.Error() != "no way to install rules: nft: exit status 1: Error: Could not process rule: Operation not permitted: run it as root, or with the capability NET_ADMIN" {
		t.Errorf("not permitted: %v", err)
	}
	if err := os.WriteFile(dir+"/nft", []byte("#!/bin/sh\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	if got, err := Backends(t.Context(), "auto"); err != nil || len(got) != 1 || got[0].Name() != "nft" {
		t.Errorf("nft alone: %v, %v", got, err)
	}
}
