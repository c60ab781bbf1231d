package evidence

import (
	"bytes"
	"encoding/json"
	"errors"
	"html"
	"io"
	"net/url"
	"slices"
	"strings"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/exporter/har"
)

// json returns a JSON text with the values that may be kept, and whether that is all
// of text. What is open where text ends, or where it is no JSON, is closed.
func (x *scrubbing) json(text []byte) (out string, whole bool) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	token, err := d.Token()
	if err != nil {
		return "", false
	}
	b, whole := x.appendJSON(nil, d, "", token, 0)
	if whole {
		_, err := d.Token()
		whole = errors.Is(err, io.EOF)
	}
	return string(b), whole
}

// appendJSON appends the value of the field name, which begins with token and is nested
// so many levels deep. whole is false if nothing can follow it.
func (x *scrubbing) appendJSON(b []byte, d *json.Decoder, name string, token json.Token, depth int) (_ []byte, whole bool) {
	begin, nested := token.(json.Delim)
	switch {
	case !nested:
		return x.appendScalar(b, name, token), true
	case depth == maxDepth:
		return append(b, "null"...), false
	}
	end := json.Delim(']')
	if begin == '{' {
		end = '}'
	}
	b = append(b, begin.String()...)
	whole = true
	for some := false; whole; some = true {
		token, err := d.Token()
		if whole = err == nil; !whole || token == end {
			break
		}
		if some {
			b = append(b, ',')
		}
		if key, ok := token.(string); ok && begin == '{' {
			name = key
			b = append(appendQuoted(b, x.name(name)), ':')
			if token, err = d.Token(); err != nil {
				b, whole = append(b, "null"...), false
				break
			}
		}
		b, whole = x.appendJSON(b, d, name, token, depth+1)
	}
	return append(b, end.String()...), whole
}

// appendScalar appends the value of a field, or its type.
func (x *scrubbing) appendScalar(b []byte, name string, token json.Token) []byte {
	keep := x.keeps(name)
	switch v := token.(type) {
	case string:
		return appendQuoted(b, x.text(name, v))
	case json.Number:
		if keep && x.value(v.String()) == v.String() {
			return append(b, v...)
		}
		return appendQuoted(b, typeNumber)
	case bool:
		switch {
		case !keep:
			return appendQuoted(b, typeBoolean)
		case v:
			return append(b, "true"...)
		}
		return append(b, "false"...)
	}
	return append(b, "null"...)
}

// appendQuoted appends s as a JSON string.
func appendQuoted(b []byte, s string) []byte {
	var quoted bytes.Buffer
	e := json.NewEncoder(&quoted)
	e.SetEscapeHTML(false)
	_ = e.Encode(s) // a string can be encoded
	return append(b, bytes.TrimSuffix(quoted.Bytes(), []byte("\n"))...)
}

// xml returns an XML or HTML text with the texts of elements that may be kept, and
// whether that is all of text. Attributes, comments and declarations are left out.
// The result is well-formed: what is not closed is closed.
func (x *scrubbing) xml(text []byte) (out string, whole bool) {
	var b strings.Builder
	var open []string // names of elements
	write := func(content string) {
		if content = strings.TrimSpace(content); content == "" || len(open) == 0 {
			return
		}
		b.WriteString(html.EscapeString(x.text(open[len(open)-1], content)))
	}
	closeTo := func(depth int) {
		for ; len(open) > depth; open = open[:len(open)-1] {
			b.WriteString("</" + x.name(open[len(open)-1]) + ">")
		}
	}
	defer func() {
		closeTo(0)
		out = b.String()
	}()
	rest := string(text)
	for rest != "" {
		content, markup, found := strings.Cut(rest, "<")
		if !found && len(open) > 0 {
			return "", false // a text that may be cut
		}
		write(html.UnescapeString(content))
		if !found {
			return "", true
		}
		m, after, ok := nextMarkup(markup)
		if !ok {
			return "", false
		}
		rest = after
		switch {
		case m.cdata:
			write(m.text)
		case m.name == "":
		case m.end:
			for i, name := range slices.Backward(open) {
				if name == m.name {
					closeTo(i)
					break
				}
			}
		case len(open) == maxDepth:
			return "", false
		case m.empty:
			b.WriteString("<" + x.name(m.name) + "/>")
		default:
			b.WriteString("<" + x.name(m.name) + ">")
			open = append(open, m.name)
		}
	}
	return "", len(open) == 0
}

// markup is what begins with a less-than sign. The zero value is a comment or a
// declaration.
type markup struct {
	name       string
	end, empty bool   // </name> and <name/>
	cdata      bool   // <![CDATA[text]]>
	text       string // of cdata
}

// nextMarkup reads the markup behind a less-than sign. ok is false if its end is
// missing.
func nextMarkup(s string) (m markup, rest string, ok bool) {
	for _, kind := range []struct{ begin, end string }{{"!--", "-->"}, {"![CDATA[", "]]>"}, {"?", "?>"}, {"!", ">"}} {
		if strings.HasPrefix(s, kind.begin) {
			m.text, rest, ok = strings.Cut(s[len(kind.begin):], kind.end)
			m.cdata = kind.end == "]]>"
			return m, rest, ok
		}
	}
	end := classify.EndOfTag(s)
	if end < 0 {
		return m, "", false
	}
	tag := s[:end]
	rest = s[end+1:]
	if tag, m.end = strings.CutPrefix(tag, "/"); !m.end {
		tag, m.empty = strings.CutSuffix(tag, "/")
	}
	m.name = tag
	if i := strings.IndexAny(tag, " \t\r\n/"); i >= 0 {
		m.name = tag[:i]
	}
	return m, rest, true
}

// maxParams is the maximum number of parameters of a form that are kept.
const maxParams = 256

// form returns the parameters of a form.
func (x *scrubbing) form(text []byte) (all []har.Field) {
	for pair := range strings.SplitSeq(strings.TrimRight(string(text), "\r\n"), "&") {
		name, value, _ := strings.Cut(pair, "=")
		if name == "" || len(all) == maxParams {
			continue
		}
		name, value = unescape(name), unescape(value)
		all = append(all, har.Field{Name: x.name(name), Value: x.text(name, value)})
	}
	return all
}

func unescape(s string) string {
	if plain, err := url.QueryUnescape(s); err == nil {
		return plain
	}
	return s
}
