package logs

import (
	"bytes"
	"strconv"

	"go.uber.org/zap/buffer"
	"go.uber.org/zap/zapcore"
)

var buffersOfLines = buffer.NewPool()

// logfmtEncoder writes lines as key=value pairs, in the order and with the
// escapes of the JSON encoder. Lists and objects are written as JSON strings.
type logfmtEncoder struct{ zapcore.Encoder }

// Clone implements zapcore.Encoder.
func (e logfmtEncoder) Clone() zapcore.Encoder { return logfmtEncoder{e.Encoder.Clone()} }

// EncodeEntry implements zapcore.Encoder.
func (e logfmtEncoder) EncodeEntry(entry zapcore.Entry, fields []zapcore.Field) (*buffer.Buffer, error) {
	line, err := e.Encoder.EncodeEntry(entry, fields)
	if err != nil {
		return nil, err
	}
	defer line.Free()
	out := buffersOfLines.Get()
	appendLogfmt(out, line.Bytes())
	return out, nil
}

// appendLogfmt converts a line with a JSON object, which has no spaces between
// its tokens, to logfmt.
func appendLogfmt(out *buffer.Buffer, line []byte) {
	rest := bytes.TrimPrefix(bytes.TrimSpace(line), []byte("{"))
	for first := true; len(rest) > 0 && rest[0] == '"'; first = false {
		end := endOfValue(rest)
		key := rest[1 : end-1]
		rest = rest[min(end+1, len(rest)):] // the colon
		end = endOfValue(rest)
		value := rest[:end]
		rest = rest[min(end+1, len(rest)):] // the comma or the last brace
		if !first {
			out.AppendByte(' ')
		}
		_, _ = out.Write(key) // a buffer; never fails
		out.AppendByte('=')
		appendValue(out, value)
	}
	out.AppendByte('\n')
}

func appendValue(out *buffer.Buffer, value []byte) {
	switch {
	case len(value) == 0:
	case value[0] == '[' || value[0] == '{':
		out.AppendString(strconv.Quote(string(value)))
	case value[0] == '"' && isBare(value[1:len(value)-1]):
		_, _ = out.Write(value[1 : len(value)-1])
	default:
		_, _ = out.Write(value)
	}
}

// isBare reports whether a string needs no quotes.
func isBare(s []byte) bool {
	return len(s) > 0 && !bytes.ContainsFunc(s, func(c rune) bool { return c <= ' ' || c == '=' || c == '"' || c == '\\' || c >= 0x7f })
}

// endOfValue returns the length of the JSON value at the beginning of b.
func endOfValue(b []byte) int {
	depth, inString := 0, false
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			if inString = !inString; !inString && depth == 0 {
				return i + 1
			}
		case inString:
		case c == '[' || c == '{':
			depth++
		case c == ']' || c == '}':
			if depth == 0 {
				return i // the end of the line's object
			}
			if depth--; depth == 0 {
				return i + 1
			}
		case c == ',' && depth == 0:
			return i
		}
	}
	return len(b)
}
