package responses_test

import (
	"encoding/json"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/internal/responses"
	"github.com/ksyun-tap/ksyun-tap/internal/testfile"
)

// TestResponses reads the responses in classify/testdata/responses. Beside each NAME.http is
// a NAME.want.json with the fields that must come out.
func TestResponses(t *testing.T) {
	files, err := filepath.Glob("../../classify/testdata/responses/*.http")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	reader := responses.Reader{Classifier: classify.New(classify.DefaultCatalog())}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".http"), func(t *testing.T) {
			var want, got map[string]any
			require.NoError(t, json.Unmarshal(testfile.Read(t, strings.TrimSuffix(file, ".http")+".want.json"), &want))
			reading, err := reader.Read(file, testfile.Read(t, file))
			require.NoError(t, err)
			out := printed(t, "json", reading)
			require.NoError(t, json.Unmarshal([]byte(out), &got))
			for key, w := range want {
				assert.Equal(t, w, got[key], "%s in %s", key, out)
			}
		})
	}
}

// printed returns what a printer prints of readings.
func printed(t *testing.T, format string, all ...responses.Reading) string {
	t.Helper()
	var out strings.Builder
	p := responses.NewPrinter(&out, format)
	for _, r := range all {
		require.NoError(t, p.Print(r))
	}
	require.NoError(t, p.Flush())
	return out.String()
}

// TestOtherData reads what is not a response of the API.
func TestOtherData(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	random := make([]byte, 4096)
	for i := range random {
		random[i] = byte(r.Uint32())
	}
	reader := responses.Reader{Classifier: classify.New(classify.DefaultCatalog())}
	for name, in := range map[string]string{
		"empty": "", "blanks": " \n", "text": "hello\n", "binary": "\x7fELF\x02\x01\x01\x00\x00", "random": string(random),
		"braces": "{hello", "brackets": "<<<>>>", "binary behind a brace": "{\x00\x01\xff", "binary behind a bracket": "<\xff\x00",
		"a broken head": "HTTP/1.1 banana\r\n\r\n", "a number": "42", "gzip of nothing legible": "\x1f\x8b\x08\x00",
	} {
		_, err := reader.Read("x", []byte(in))
		assert.ErrorContains(t, err, "x is not a response of the API", name)
	}
	for name, in := range map[string]string{"cut JSON": `{"requestId":"a","data":[1,`, "cut XML": "<ListMetricsResponse><Me", "JSON": `{"a":1}`} {
		_, err := reader.Read("x", []byte(in))
		assert.NoError(t, err, name)
	}
	// With a status it is one.
	reader.Status = 504
	reading, err := reader.Read("x", nil)
	require.NoError(t, err)
	assert.Equal(t, classify.CategoryTimeout, reading.Category)
	reading, err = reader.Read("x", []byte("HTTP/1.1 204 No Content\r\n\r\n"))
	require.NoError(t, err)
	assert.Equal(t, classify.OutcomeSuccess, reading.Outcome)
}

// TestFormats checks how two readings are printed.
func TestFormats(t *testing.T) {
	reader := responses.Reader{Classifier: classify.New(classify.DefaultCatalog()), Status: 409}
	r, err := reader.Read("a.json", []byte(`{"Error":{"Code":"LimitExceeded"},"RequestId":"the-id"}`))
	require.NoError(t, err)
	text := printed(t, "text", r, r)
	for _, want := range []string{"File         a.json", "Outcome      error", "Means        Calls come faster", "Do           Slow down", "Request ID   the-id", "Retry        window"} {
		assert.Equal(t, 2, strings.Count(text, want), "%q in\n%s", want, text)
	}
	assert.Contains(t, text, "\n\n", "the readings are not separated")
	table := printed(t, "table", r, r)
	assert.Equal(t, 3, strings.Count(table, "\n"), table)
	assert.True(t, strings.HasPrefix(table, "FILE "), table)
	assert.Equal(t, 2, strings.Count(printed(t, "auto", r, r), `"code":"LimitExceeded"`))
	assert.Empty(t, printed(t, "table"))
}
