package trust_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ksyun-tap/ksyun-tap/internal/selfsigned"
	"github.com/ksyun-tap/ksyun-tap/internal/testfile"
	"github.com/ksyun-tap/ksyun-tap/internal/trust"
)

func TestMerge(t *testing.T) {
	dir := t.TempDir()
	certificates := filepath.Join(dir, "certs")
	require.NoError(t, os.Mkdir(certificates, 0o700))
	for _, name := range []string{"ca.pem", "certs/a.pem", "certs/b.pem"} {
		_, text := selfsigned.Certificate(filepath.Base(name))
		testfile.Write(t, filepath.Join(dir, name), text, 0o600)
	}
	testfile.Write(t, filepath.Join(dir, "text"), "no certificate", 0o600)
	for own, want := range map[string]int{"certs/a.pem": 2, "certs": 3, "text": 0, "none": 0, "empty": 0} {
		merged, err := trust.Merge(filepath.Join(dir, "merged"), filepath.Join(dir, own), filepath.Join(dir, "ca.pem"))
		require.NoError(t, err)
		if (merged == "") != (want == 0) {
			t.Errorf("%s: written to %q", own, merged)
		}
		if want > 0 && strings.Count(string(testfile.Read(t, merged)), "BEGIN CERTIFICATE") != want {
			t.Errorf("%s: %s", own, testfile.Read(t, merged))
		}
	}
}

// TestRoots checks that an invalid SSL_CERT_FILE is ignored, and that errors name the flag.
func TestRoots(t *testing.T) {
	file := filepath.Join(t.TempDir(), "ca.pem")
	_, text := selfsigned.Certificate("ca")
	testfile.Write(t, file, text, 0o600)
	t.Setenv("SSL_CERT_FILE", file)
	if ignored := trust.Ignored(); len(ignored) != 0 {
		t.Errorf("a valid file is ignored: %v", ignored)
	}
	t.Setenv("SSL_CERT_FILE", file+"-secret")
	if ignored := trust.Ignored(); len(ignored) != 1 || ignored[0].Variable != "SSL_CERT_FILE" || strings.Contains(ignored[0].Reason, "secret") {
		t.Errorf("got %v", ignored)
	}
	roots, err := trust.Roots("ca-file", file)
	if err != nil || len(roots.Subjects()) < 2 { //nolint:staticcheck // these are not the system's own
		t.Errorf("the system's certificates are missing: %v", err)
	}
	if _, err := trust.Roots("ca-file", os.DevNull); err == nil || !strings.HasPrefix(err.Error(), "--ca-file: ") {
		t.Errorf("got %v", err)
	}
}
