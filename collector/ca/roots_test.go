package ca

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ksyun-tap/ksyun-tap/internal/testfile"
)

func TestSystemRoots(t *testing.T) {
	dir := t.TempDir()
	one, two := selfSigned("One"), selfSigned("Two")
	testfile.Write(t, filepath.Join(dir, "one.pem"), one, 0o644)
	testfile.Write(t, filepath.Join(dir, "two.pem"), two, 0o644)
	usual := filepath.Join(t.TempDir(), "usual.pem")
	testfile.Write(t, usual, append(append(selfSigned("A"), selfSigned("B")...), selfSigned("C")...), 0o644)
	old := rootFiles
	t.Cleanup(func() { rootFiles = old })
	rootFiles = []string{usual}
	f := func(file, dirs string, want int) {
		t.Helper()
		t.Setenv("SSL_CERT_FILE", file)
		t.Setenv("SSL_CERT_DIR", dirs)
		got, err := SystemRoots()
		if err != nil || count(got) != want {
			t.Errorf("%q, %q: %d certificates, %v, want %d", file, dirs, count(got), err, want)
		}
	}
	f(filepath.Join(dir, "one.pem"), "", 1)
	// Each file is read once, although links name it too.
	for link, to := range map[string]string{"0a1b2c3d.0": "two.pem", "lost.0": "none.pem"} {
		require.NoError(t, os.Symlink(to, filepath.Join(dir, link)))
	}
	f(filepath.Join(dir, "one.pem"), dir, 2)
	f(filepath.Join(dir, "one.pem"), dir+":"+dir, 2)
	huge := filepath.Join(t.TempDir(), "huge.pem")
	testfile.Write(t, huge, "", 0o644)
	require.NoError(t, os.Truncate(huge, maxPublicFile+1))
	// What cannot be read counts as not set.
	empty := filepath.Join(t.TempDir(), "empty.pem")
	testfile.Write(t, empty, "", 0o644)
	for _, file := range []string{huge, empty, filepath.Join(dir, "none.pem"), dir, os.DevNull} {
		f(file, "", 3)
	}
	f(filepath.Join(dir, "one.pem"), filepath.Join(dir, "none"), 1)
}

func TestSystemRootsWhereNoneAre(t *testing.T) {
	old := rootFiles
	t.Cleanup(func() { rootFiles = old })
	t.Setenv("SSL_CERT_FILE", "")
	t.Setenv("SSL_CERT_DIR", "")
	file := filepath.Join(t.TempDir(), "roots.pem")
	rootFiles = []string{filepath.Join(t.TempDir(), "none"), file}
	_, err := Open(Config{Dir: privateDir(t), Permitted: names})
	assert.ErrorContains(t, err, "install ca-certificates")
	testfile.Write(t, file, rootPEM(), 0o644)
	if roots, err := SystemRoots(); err != nil || count(roots) != 1 {
		t.Errorf("the second file: %s, %v", roots, err)
	}
}

func TestMergeBundle(t *testing.T) {
	ours := mustOpen(t, Config{}).PEM()
	earlier := mustOpen(t, Config{}).PEM()
	one, two := string(selfSigned("One")), string(selfSigned("Two"))
	f := func(roots, want string) {
		t.Helper()
		got, err := mergeBundle([]byte(roots), ours)
		if err != nil || string(got) != want+string(ours) {
			t.Errorf("got %s, %v\nwant %s", got, err, want)
		}
	}
	f(one+two, one+two)
	f(two+one+two, two+one)
	f("# One\r\n"+strings.ReplaceAll(one, "\n", "\r\n")+"\n\n# Two\n"+strings.TrimSpace(two), one+two)
	// SSL_CERT_FILE names a bundle of ours, or of another tap.
	f(one+string(ours), one)
	f(one+string(earlier)+two, one+two)
	for _, roots := range []string{"", "nonsense", string(earlier)} {
		_, err := mergeBundle([]byte(roots), ours)
		assert.Error(t, err, "a bundle without roots from %q", roots)
	}
}

// TestRootsChange has the system's roots change, and then go.
func TestRootsChange(t *testing.T) {
	dir := privateDir(t)
	roots, rootsErr := rootPEM(), error(nil)
	c := mustOpen(t, Config{Dir: dir, Roots: func() ([]byte, error) { return roots, rootsErr }})
	roots = append(append([]byte{}, roots...), selfSigned("New")...)
	if err := c.Refresh(); err != nil || count(testfile.Read(t, dir, bundleFile)) != 3 {
		t.Errorf("a root was added: %v, %d certificates", err, count(testfile.Read(t, dir, bundleFile)))
	}
	roots, rootsErr = nil, errors.New("no roots today")
	// The error is returned. The bundle keeps the old roots and gets the next
	// authority.
	assert.ErrorIs(t, c.rotate(), rootsErr)
	n := count(testfile.Read(t, dir, bundleFile))
	assert.Equal(t, 4, n, "certificates in the bundle, want 2 roots and 2 of ours")
	assert.False(t, authorities(c)[1].published.IsZero(), "the next authority does not count as published")
}
