package main

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"software.sslmate.com/src/go-pkcs12"

	"github.com/ksyun-tap/ksyun-tap/internal/testfile"
	"github.com/ksyun-tap/ksyun-tap/internal/trust"
)

func TestCA(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "ca")
	do := func(wantCode int, args ...string) (out, errOut string) {
		t.Helper()
		code, out, errOut := command(t, "", append([]string{"ca"}, args...)...)
		if code != wantCode {
			t.Errorf("%v: exit %d: %s%s", args, code, out, errOut)
		}
		return out, errOut
	}
	if _, errOut := do(exitUsage, "show", "--dir="+dir); !strings.Contains(errOut, "create the CA with ksyun-tap ca create --dir="+dir) {
		t.Errorf("no CA: %s", errOut)
	}
	created, _ := do(exitOK, "create", "--dir="+dir, "--host=*.api.ksyun.com", "--host=kop.example.net")
	again, _ := do(exitOK, "create", "--dir="+dir, "--host=*.api.ksyun.com", "--host=kop.example.net")
	if created != again || !strings.Contains(created, "ca.pem is for [*.api.ksyun.com kop.example.net] until 2") {
		t.Errorf("created %s, then %s", created, again)
	}

	t.Setenv("KSYUN_TAP_INTERCEPT_CA_DIR", dir)
	var infos []struct {
		SHA256    string
		Permitted []string
	}
	out, _ := do(exitOK, "show", "--output=json")
	if err := json.Unmarshal([]byte(out), &infos); err != nil || len(infos) != 1 || !strings.Contains(created, infos[0].SHA256) ||
		strings.Join(infos[0].Permitted, " ") != "api.ksyun.com kop.example.net" {
		t.Errorf("shown %s, %v", out, err)
	}
	if out, _ := do(exitOK, "show"); !strings.Contains(out, infos[0].SHA256) || !strings.Contains(out, "(29 days left)") {
		t.Errorf("shown %s", out)
	}

	key := filepath.Join(dir, "key.pem")
	for mode, code := range map[os.FileMode]int{0o644: exitFailed, 0o600: exitOK} {
		require.NoError(t, os.Chmod(key, mode))
		if out, errOut := do(code, "show"); !strings.Contains(out, infos[0].SHA256) || strings.Contains(errOut, "mode 0644") != (code != exitOK) {
			t.Errorf("key of mode %o: %s%s", mode, out, errOut)
		}
	}

	published := testfile.Read(t, dir, "ca.pem")
	if out, _ := do(exitOK, "export"); out != string(published) {
		t.Errorf("exported %s", out)
	}
	block, _ := pem.Decode(published)
	if out, _ := do(exitOK, "export", "--format=der"); !bytes.Equal([]byte(out), block.Bytes) {
		t.Error("another certificate as der")
	}
	if _, errOut := do(exitUsage, "export", "--format=der", "--bundle"); !strings.Contains(errOut, "use --format=pem") {
		t.Errorf("a bundle as der: %s", errOut)
	}
	store := filepath.Join(t.TempDir(), "trust.p12")
	do(exitOK, "export", "--format=pkcs12", "--bundle", "--file="+store)
	data := testfile.Read(t, store)
	certs, err := pkcs12.DecodeTrustStore(data, trust.JavaPassword)
	if err != nil || len(certs) < 2 || certs[len(certs)-1].Subject.CommonName == "" {
		t.Errorf("a trust store of %d certificates: %v", len(certs), err)
	}
	if _, err := x509.ParseCertificate(block.Bytes); err != nil {
		t.Error(err)
	}

	testfile.Write(t, filepath.Join(dir, "ca.pem"), published[:100], 0o600)
	if _, errOut := do(exitUsage, "show"); !strings.Contains(errOut, "something other than certificates") {
		t.Errorf("damaged: %s", errOut)
	}
}
