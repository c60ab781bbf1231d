package explain_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/internal/explain"
)

// TestFind looks up each kind of name, in both formats.
func TestFind(t *testing.T) {
	for asked, want := range map[string]struct{ text, json string }{
		"limitexceeded": {"Code LimitExceeded", `{"code":"LimitExceeded"`},
		"dns":           {"Fault dns", `"code":"dns"`},
		"canceled":      {"Fault canceled", `"code":"canceled"`},
		"key_revoked":   {"Cause key_revoked", `"cause":"key_revoked"`},
		"409":           {"CODE STATUS ", `"code":"LimitExceeded"`},
		"":              {"CODE STATUS ", `"code":"SignatureDoesNotMatch"`},
	} {
		answer, err := explain.Find(classify.DefaultCatalog(), asked)
		require.NoError(t, err, asked)
		var text, lines strings.Builder
		require.NoError(t, answer.WriteText(&text))
		require.NoError(t, answer.WriteJSON(&lines))
		assert.True(t, strings.HasPrefix(strings.Join(strings.Fields(text.String()), " "), want.text), "%q: %s", asked, text.String())
		assert.Contains(t, lines.String(), want.json, asked)
	}
}

func TestFindNothing(t *testing.T) {
	for asked, want := range map[string]string{
		"LimitExceded": "LimitExceded is not in the catalogue (similar: LimitExceeded)",
		"Limit":        "(similar: ",
		"zzzzzzzzzzzz": "zzzzzzzzzzzz is not in the catalogue: run",
		"299":          "no entry of the catalogue has HTTP status 299",
	} {
		_, err := explain.Find(classify.DefaultCatalog(), asked)
		assert.ErrorContains(t, err, want)
	}
}
