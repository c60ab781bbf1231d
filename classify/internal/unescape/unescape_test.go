package unescape

import (
	"encoding/json"
	"html"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestByte(t *testing.T) {
	for _, tt := range []struct {
		text string
		want byte
		n    int
	}{
		{"ab", 'a', 1},
		{"%41b", 'A', 3},
		{"%2541b", 'A', 5},
		{"%252541b", 'A', 7},
		{"%4", '%', 1},
		{"%zz", '%', 1},
		{`\u0041b`, 'A', 6},
		{`\u002541`, 'A', 8},
		{`\u0141b`, '\\', 1},
		{`\/b`, '/', 2},
		{`\"b`, '"', 2},
		{`\\b`, '\\', 2},
		{`\n`, '\\', 1},
		{"&amp;b", '&', 5},
		{"&#x41;", 'A', 6},
		{"&#37;41", 'A', 7},
		{"&nbsp;", '&', 1},
		{"&#228;", '&', 1},
		{"&b=1;", '&', 1},
		{"\xff", 0xff, 1},
	} {
		if c, n := Byte([]byte(tt.text)); c != tt.want || n != tt.n {
			t.Errorf("Byte(%q) = %q, %d, want %q, %d", tt.text, c, n, tt.want, tt.n)
		}
	}
}

// all returns the text whose characters next reads.
func all(s string, next func([]byte) (rune, int)) string {
	var b strings.Builder
	for rest := []byte(s); len(rest) > 0; {
		r, n := next(rest)
		if n == 0 {
			break
		}
		b.WriteRune(r)
		rest = rest[n:]
	}
	return b.String()
}

func TestJSON(t *testing.T) {
	for text, want := range map[string]string{
		`a\tb\nc\"\\\/`:      `a b c"\/`,
		`\u0041\u65e5日`:      "A日日",
		`\ud83d\ude00!`:      "\U0001f600!",
		`\ud83d!`:            "\ufffd!",
		`\ude00!`:            "\ufffd!",
		`\ud83d\u0041`:       "\ufffdA",
		`\u00zz`:             "\ufffd00zz",
		`cut \u00`:           "cut ",
		`cut \`:              "cut ",
		"\xff":               "\ufffd",
		`an escape \q`:       "an escape q",
		`&amp; and %41 stay`: "&amp; and %41 stay",
	} {
		if got := all(text, JSON); got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}

func TestXML(t *testing.T) {
	for text, want := range map[string]string{
		"&lt;&gt;&amp;&quot;&apos;":    `<>&"'`,
		"&#65;&#x41;&#X41;&#x1F600;":   "AAA\U0001f600",
		"&#xd800;&#x110000;&#;&#-1;!":  "\ufffd\ufffd&#;\ufffd!",
		"a & b; &; &unknown; &amp":     "a & b; &; &unknown; &amp",
		"&#00000000000000000000065; x": "&#00000000000000000000065; x",
		`\u0041 and %41 stay`:          `\u0041 and %41 stay`,
		"日\xff":                        "日\ufffd",
	} {
		if got := all(text, XML); got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}

// visible returns s with blanks in place of control characters.
func visible(s string) string {
	return strings.Map(func(r rune) rune { return max(r, ' ') }, s)
}

// FuzzUnescape compares with the standard library where that reads the same escapes.
func FuzzUnescape(f *testing.F) {
	for _, s := range []string{"", `a\u0041\ud83d\ude00\/`, "&lt;&#x41;&#65;", "%2541", `\`, "&", "\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for rest := []byte(s); len(rest) > 0; {
			_, n := Byte(rest)
			if n < 1 || n > len(rest) {
				t.Fatalf("%d bytes of %q", n, rest)
			}
			rest = rest[n:]
		}
		var want string
		if utf8.ValidString(s) && json.Unmarshal([]byte(`"`+s+`"`), &want) == nil && visible(all(s, JSON)) != visible(want) {
			t.Errorf("JSON %q: %q, want %q", s, all(s, JSON), want)
		}
		for _, entity := range []string{"&lt;", "&gt;", "&amp;", "&quot;", "&#x41;", "&#66;"} {
			if r, n := XML([]byte(entity + s)); string(r) != html.UnescapeString(entity) || n != len(entity) {
				t.Errorf("XML %q: %q, %d", entity+s, r, n)
			}
		}
	})
}
