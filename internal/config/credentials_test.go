package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/internal/testfile"
)

func TestCredentialNames(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) string {
		t.Helper()
		path := filepath.Join(dir, name)
		testfile.Write(t, path, text, mode)
		return path
	}
	const accessKey = "AKLTbilling000000000"
	secret := "0123456789abcdef"
	hash := classify.HashAccessKey([]byte(secret), []byte(accessKey))
	keyFile := "--credential.key-file=" + write("key", secret+"\n", 0o600)
	plain := write("plain", accessKey+"\n", 0o440)
	structured := write("keys.yaml", "access_key: "+accessKey+"\nsecret_key: s\n", 0o600)

	for _, args := range [][]string{
		{keyFile, "--credential.alias=billing=" + plain},
		{keyFile, "--credential.alias=billing=" + structured},
		{keyFile, "--credential.alias=billing=" + strings.ToUpper(hash)},
		{"--credential.alias=billing=" + plain},
	} {
		s := read(t, File{}, args...)
		require.NoError(t, s.Validate())
		names, err := s.CredentialNames()
		require.NoError(t, err)
		assert.Equal(t, "billing", names.Of([]byte(accessKey)), args)
		got := names.Of([]byte("AKLTother00000000000"))
		assert.Len(t, got, hashDigits, "another key is %q", got)
		var printed strings.Builder
		if err := s.Print(&printed); err != nil || strings.Contains(printed.String(), accessKey) || strings.Contains(printed.String(), secret) {
			t.Errorf("%v: %v, printed %s", args, err, printed.String())
		}
	}
	a, err := read(t, File{}).CredentialNames()
	b, err2 := read(t, File{}).CredentialNames()
	if err != nil || err2 != nil || a.Of([]byte(accessKey)) == b.Of([]byte(accessKey)) {
		t.Error("without a file, two starts have the same hash")
	}

	for want, args := range map[string][]string{
		"so that other users can access it": {"--credential.key-file=" + write("open", secret, 0o644)},
		"at least 16 random ones":           {"--credential.key-file=" + write("short", "secret", 0o600)},
		"no such file":                      {"--credential.key-file=" + filepath.Join(dir, "none")},
		"contains no access key ID":         {"--credential.alias=a=" + write("empty", "\n", 0o600)},
		"names a and b":                     {"--credential.alias=a=" + plain, "--credential.alias=b=" + structured},
	} {
		if _, err := read(t, File{}, args...).CredentialNames(); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), accessKey) {
			t.Errorf("%v: %v, want %q", args, err, want)
		}
	}
	for want, args := range map[string][]string{
		"needs --credential.key-file": {"--credential.alias=a=" + hash},
		"two keys the name a":         {"--credential.alias=a=" + plain, "--credential.alias=a=" + keyFile},
	} {
		assert.ErrorContains(t, read(t, File{}, args...).Validate(), want, args)
	}
	for _, text := range []string{"", "a", "a=", "=b", "a b=c", accessKey + "=x", "a=" + accessKey} {
		if a, err := parseAlias(text); err == nil || strings.Contains(err.Error(), accessKey) {
			t.Errorf("%q: %+v, %v", text, a, err)
		}
	}
}
