package logs

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// FuzzLogfmt checks that every line is one line, and holds every value as it was.
func FuzzLogfmt(f *testing.F) {
	for _, s := range []string{"", "plain", "two words", `"`, `\`, "a=b", "\n", "\x00", "\xff", "é", "]}", `\"}`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		enc := logfmtEncoder{zapcore.NewJSONEncoder(zapcore.EncoderConfig{LineEnding: "\n", SkipLineEnding: false})}
		line, err := enc.EncodeEntry(zapcore.Entry{}, []zapcore.Field{zap.String("a", s), zap.Strings("b", []string{s, s}), zap.Int("c", 7)})
		require.NoError(t, err)
		text := line.Bytes()
		if bytes.Count(text, []byte("\n")) != 1 || !bytes.HasPrefix(text, []byte("a=")) || !bytes.HasSuffix(text, []byte(" c=7\n")) || !bytes.Contains(text, []byte(` b="[`)) {
			t.Errorf("%q becomes %q", s, text)
		}
		if text[2] != '"' {
			return
		}
		quoted := text[2 : 2+endOfValue(text[2:])]
		var back, want string
		wanted, _ := json.Marshal(s) // replaces what is no UTF-8, as the encoder does
		if json.Unmarshal(quoted, &back) != nil || json.Unmarshal(wanted, &want) != nil || back != want {
			t.Errorf("%q becomes %s", s, quoted)
		}
	})
}
