package ca

import (
	"context"
	"crypto/tls"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ksyun-tap/ksyun-tap/internal/testfile"
)

// signedBy names the authority that signed cert by its place in the view, from 0.
func signedBy(t *testing.T, c *CA, cert *tls.Certificate) string {
	t.Helper()
	for _, a := range c.view.Load().all {
		if string(a.cert.SubjectKeyId) == string(cert.Leaf.AuthorityKeyId) {
			return a.root.Subject.CommonName
		}
	}
	t.Fatal("a leaf of no authority of ours")
	return ""
}

// TestRotation walks through the life of an authority of 16 hours with an
// overlap of 4, made at 0: its successor is made at 8 and signs from 12.
func TestRotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := privateDir(t)
		c := mustOpen(t, Config{Dir: dir, Validity: 16 * time.Hour, Overlap: 4 * time.Hour, OnError: func(err error) { t.Error(err) }})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go c.Maintain(ctx)

		first := signedBy(t, c, mustCert(t, c, host))
		at := time.Duration(0)
		until := func(d time.Duration) {
			<-time.After(d - at)
			at = d
			synctest.Wait()
		}

		until(8*time.Hour - time.Minute)
		require.Len(t, authorities(c), 1, "authorities before it is time")
		until(8*time.Hour + 2*time.Minute)
		second := authorities(c)[1].root.Subject.CommonName
		for _, f := range []string{certFile, bundleFile} {
			pem := testfile.Read(t, dir, f)
			if want := map[string]int{certFile: 2, bundleFile: 3}[f]; count(pem) != want {
				t.Errorf("%d certificates in %s, want %d", count(pem), f, want)
			}
		}
		if got := signedBy(t, c, mustCert(t, c, host)); got != first {
			t.Error("the successor signs as soon as it is made")
		}
		until(12*time.Hour - time.Minute)
		if got := signedBy(t, c, mustCert(t, c, host)); got != first {
			t.Error("the successor signs before it was public for the overlap")
		}
		if c.Fingerprint() != fingerprint(authorities(c)[0].root.Raw) {
			t.Error("the successor is reported as signing before it does")
		}
		// A leaf made a moment ago is replaced, though it has long to live.
		until(12*time.Hour + 2*time.Minute)
		if got := signedBy(t, c, mustCert(t, c, host)); got != second {
			t.Error("the successor does not sign after the overlap")
		}
		if c.Fingerprint() != fingerprint(authorities(c)[1].root.Raw) {
			t.Error("the successor is not reported as signing")
		}
		until(16*time.Hour + 2*time.Minute)
		// The first is over, and it is time for the third.
		if a := authorities(c); len(a) != 2 || a[0].root.Subject.CommonName != second {
			t.Errorf("after the end of the first: %v", a)
		}
		assert.Equal(t, 2, count(testfile.Read(t, dir, certFile)), "certificates in ca.pem after the end of the first")
		cancel()
		synctest.Wait()
	})
}

// TestProgramsGoOnTrusting has a program start every few hours, and checks all
// leaves it is served for as long as the overlap against what it read then.
func TestProgramsGoOnTrusting(t *testing.T) {
	type program struct {
		started time.Time
		trusted []byte
	}
	for _, cfg := range []Config{
		{},
		{Validity: 60 * 24 * time.Hour, Overlap: 5 * 24 * time.Hour},
		{Validity: 2 * time.Hour},
		{Validity: 24 * time.Hour, Overlap: time.Hour},
	} {
		t.Run(fmt.Sprintf("%v,%v", cfg.Validity, cfg.Overlap), func(t *testing.T) {
			clk := newClock()
			cfg.Now = clk.Now
			c := mustOpen(t, cfg)
			step := c.cfg.Validity / 200
			var running []program
			most, names := 0, map[string]bool{}
			for range 700 {
				clk.add(step)
				require.NoError(t, c.Refresh())
				for _, a := range authorities(c) {
					names[a.root.Subject.CommonName] = true
				}
				most = max(most, len(authorities(c)))
				running = append(running, program{clk.Now(), c.PEM()})
				leaf := mustCert(t, c, host)
				for clk.Now().Sub(running[0].started) > c.cfg.Overlap {
					running = running[1:]
				}
				for _, p := range running[:1] {
					if err := trusts(p.trusted, leaf, host, clk.Now()); err != nil {
						t.Fatalf("a program started %v ago: %v", clk.Now().Sub(p.started), err)
					}
				}
				require.NoError(t, trusts(c.PEM(), leaf, host, clk.Now()), "a program started now")
			}
			if len(names) < 3 || most > 5 {
				t.Errorf("%d authorities made, %d at a time; want 3 or more, 5 at most", len(names), most)
			}
		})
	}
}

func TestReopen(t *testing.T) {
	dir := privateDir(t)
	clk := newClock()
	cfg := Config{Dir: dir, Now: clk.Now}
	first := mustOpen(t, cfg).Fingerprint()
	files := [][]byte{testfile.Read(t, dir, keyFile), testfile.Read(t, dir, certFile), testfile.Read(t, dir, bundleFile)}
	clk.add(24 * time.Hour)
	if again := mustOpen(t, cfg).Fingerprint(); again != first {
		t.Error("another CA at the second start")
	}
	for i, name := range []string{keyFile, certFile, bundleFile} {
		if string(testfile.Read(t, dir, name)) != string(files[i]) {
			t.Errorf("%s changed at the second start", name)
		}
	}
	// The tap was down for as long as the CA had to live.
	clk.add(40 * 24 * time.Hour)
	c := mustOpen(t, cfg)
	assert.NotEqual(t, first, c.Fingerprint(), "the expired CA was kept")
	assert.Equal(t, 1, count(testfile.Read(t, dir, certFile)), "the expired CA was kept")
}

// TestPermittedChange opens with other names than the CA was made for.
func TestPermittedChange(t *testing.T) {
	dir := privateDir(t)
	clk := newClock()
	old := mustOpen(t, Config{Dir: dir, Now: clk.Now, Permitted: []string{"*.api.ksyun.com"}})
	oldPEM := old.PEM()
	clk.add(20 * time.Minute)
	c := mustOpen(t, Config{Dir: dir, Now: clk.Now, Permitted: []string{"*.api.ksyun.com", "kop.example.net"}})
	if a := authorities(c); len(a) != 2 || strings.Join(a[1].cert.PermittedDNSDomains, " ") != "api.ksyun.com kop.example.net" {
		t.Fatalf("authorities %+v", a)
	}
	// Programs that trust only the old one keep working; the new name is served at once.
	assert.NoError(t, trusts(oldPEM, mustCert(t, c, host), host, clk.Now()), "a program that runs")
	assert.NoError(t, trusts(c.PEM(), mustCert(t, c, "kop.example.net"), "kop.example.net", clk.Now()), "the new name")
	_, err := old.Certificate("kop.example.net")
	assert.ErrorIs(t, err, ErrRefused, "a process that permits less")
	// The other process learns of it, and keeps what it needs.
	if err := old.Refresh(); err != nil || len(authorities(old)) != 2 {
		t.Errorf("the other process: %v, %d authorities, want 2", err, len(authorities(old)))
	}
	clk.add(16 * 24 * time.Hour)
	assert.Error(t, trusts(oldPEM, mustCert(t, c, host), host, clk.Now()), "the old CA still signs after the overlap")
}

func TestProcessesShareDirectory(t *testing.T) {
	dir := privateDir(t)
	var wg sync.WaitGroup
	prints := make([]string, 8)
	for i := range prints {
		wg.Go(func() {
			if i%2 == 0 {
				c, err := Open(Config{Dir: dir, Permitted: names, Roots: testRoots})
				if err != nil {
					t.Error(err)
					return
				}
				prints[i] = c.Fingerprint()
				return
			}
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), openEnv+"="+dir)
			out, err := cmd.CombinedOutput()
			assert.NoError(t, err, "%s", out)
			prints[i] = string(out)
		})
	}
	wg.Wait()
	for i, p := range prints {
		if p == "" || p != prints[0] {
			t.Errorf("process %d has CA %q, process 0 %q", i, p, prints[0])
		}
	}
}

// TestDirectoryIsEmptied has someone clean up under a running tap.
func TestDirectoryIsEmptied(t *testing.T) {
	dir := privateDir(t)
	c := mustOpen(t, Config{Dir: dir})
	key, first := testfile.Read(t, dir, keyFile), c.Fingerprint()
	require.NoError(t, os.RemoveAll(dir))
	require.NoError(t, c.Refresh())
	if c.Fingerprint() != first || string(testfile.Read(t, dir, keyFile)) != string(key) {
		t.Error("the CA that programs trust was lost")
	}
	assert.Equal(t, 2, count(testfile.Read(t, dir, bundleFile)), "the bundle was not published again")
}

func TestMaintainReportsErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := privateDir(t)
		reported := make(chan error, 1)
		c := mustOpen(t, Config{Dir: dir, OnError: func(err error) { reported <- err }})
		testfile.Write(t, filepath.Join(dir, keyFile), []byte("nonsense"), 0o600)
		ctx, cancel := context.WithCancel(t.Context())
		go c.Maintain(ctx)
		err := <-reported
		cancel()
		synctest.Wait()
		assert.ErrorContains(t, err, "is not a valid key file", "reported")
		// What is in memory serves on, and the file is not touched.
		mustCert(t, c, host)
		assert.Equal(t, "nonsense", string(testfile.Read(t, dir, keyFile)), "the file was overwritten")
	})
}
