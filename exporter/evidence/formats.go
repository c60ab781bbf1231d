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

// level is an object or an array that is open.
type level struct {
	object bool
	name   string // of the field whose value is read; of an array, its own
	some   bool   // it has an element or a name
	value  bool   // a name was read, and its value is next
}

// json returns a JSON text with the values that may be kept, and whether that is all
// of text. What is open where text ends, or where it is no JSON, is closed.
func (x *scrubbing) json(text []byte) (out string, whole bool) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var b []byte
	var open []level
	for {
		token, err := d.Token()
		if err != nil {
			break
		}
		if end, ok := token.(json.Delim); ok && (end == '}' || end == ']') {
			b, open = append(b, end.String()...), open[:len(open)-1]
		} else {
			name := ""
			if n := len(open); n > 0 {
				top := &open[n-1]
				if (!top.object || !top.value) && top.some {
					b = append(b, ',')
				}
				top.some = true
				if top.object && !top.value {
					top.name, top.value = token.(string), true //nolint:forcetypeassert // the decoder checks it
					b = append(appendQuoted(b, x.name(top.name)), ':')
					continue
				}
				top.value, name = false, top.name
			}
			if begin, ok := token.(json.Delim); ok {
				if len(open) == maxDepth {
					b = append(b, "null"...)
					break
				}
				b, open = append(b, begin.String()...), append(open, level{object: begin == '{', name: name})
				continue
			}
			b = x.appendScalar(b, name, token)
		}
		if len(open) == 0 {
			_, err := d.Token()
			return string(b), errors.Is(err, io.EOF)
		}
	}
	for ; len(open) > 0; open = open[:len(open)-1] {
		switch top := open[len(open)-1]; {
		case top.object && top.value:
			b = append(b, "null}"...)
		case top.object:
			b = append(b, '}')
		default:
			b = append(b, ']')
		}
	}
	return string(b), false
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
