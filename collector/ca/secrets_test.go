package ca

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ksyun-tap/ksyun-tap/internal/testfile"
)

// noSecrets fails if text holds a piece of a private key in a key file, as PEM
// has it or as a number.
func noSecrets(t *testing.T, text, keys string) {
	t.Helper()
	assert.NotContains(t, text, "PRIVATE", "it contains a private key")
	for block, rest := pem.Decode([]byte(keys)); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != blockKey {
			continue
		}
		all, err := parseKeys([]byte(keys))
		require.NoError(t, err)
		for _, a := range all {
			raw, err := a.key.Bytes()
			require.NoError(t, err)
			number := a.key.D //nolint:staticcheck // the number is what must not be seen
			for _, form := range []string{hex.EncodeToString(raw), number.String(), fmt.Sprintf("%X", raw), strings.Trim(fmt.Sprintf("%d", raw), "[]")} {
				assert.NotContains(t, text, form[:12], "a private key")
			}
		}
		// What stands before and behind the number is public.
		body := base64.StdEncoding.EncodeToString(block.Bytes)[48:88]
		for i := range len(body) - 12 {
			assert.NotContains(t, text, body[i:i+12], "a piece of a private key")
		}
	}
}

func TestKeyStaysWhereItIs(t *testing.T) {
	dir := privateDir(t)
	c := mustOpen(t, Config{Dir: dir})
	require.NoError(t, c.rotate())
	mustCert(t, c, host)
	keys := string(testfile.Read(t, dir, keyFile))
	require.Equal(t, 2, strings.Count(keys, "BEGIN PRIVATE KEY"), "the test looks for the wrong thing")
	asJSON, err := json.Marshal(map[string]any{"ca": c})
	require.NoError(t, err)
	_, refused := c.Certificate("example.com")
	for name, text := range map[string]string{
		"%v":         fmt.Sprintf("%v", c),
		"%+v":        fmt.Sprintf("%+v", c),
		"%#v":        fmt.Sprintf("%#v", c),
		"%s":         fmt.Sprintf("%s", c),
		"%x":         fmt.Sprintf("%x", c),
		"%d, nested": fmt.Sprintf("%d", []any{c, map[string]any{"ca": c}}),
		"JSON":       string(asJSON),
		"Stats":      fmt.Sprintf("%#v", c.Stats()),
		"PEM":        string(c.PEM()),
		"ca.pem":     string(testfile.Read(t, dir, certFile)),
		"bundle.pem": string(testfile.Read(t, dir, bundleFile)),
		"an error":   fmt.Sprint(refused),
	} {
		t.Run(name, func(t *testing.T) { noSecrets(t, text, keys) })
	}
	assert.Equal(t, "CA "+c.Fingerprint(), fmt.Sprintf("%+v", c), "printed as")
}

// TestRootsWithKeys has the file of the roots hold a private key too.
func TestRootsWithKeys(t *testing.T) {
	dir := privateDir(t)
	other := mustOpen(t, Config{})
	key, err := x509.MarshalPKCS8PrivateKey(other.view.Load().all[0].key)
	require.NoError(t, err)
	roots := append(pem.EncodeToMemory(&pem.Block{Type: blockKey, Bytes: key}), rootPEM()...)
	mustOpen(t, Config{Dir: dir, Roots: func() ([]byte, error) { return roots, nil }})
	if bundle := string(testfile.Read(t, dir, bundleFile)); strings.Contains(bundle, "PRIVATE") || count([]byte(bundle)) != 2 {
		t.Errorf("the bundle holds %s", bundle)
	}
}
