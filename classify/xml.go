package classify

import (
	"bytes"

	"github.com/ksyun-tap/ksyun-tap/classify/internal/ascii"
)

// xmlScanner scans XML by its tags. It accepts what the vendor's documents show
// and load balancers send: elements that are never closed, tags in any case, HTML
// pages. Like scanner, it takes linear time and never recurses.
type xmlScanner struct {
	b []byte
	i int

	// names are the open elements, outermost first. Elements deeper than maxNames
	// are only counted in depth.
	names [maxNames][]byte
	depth int
}

// maxNames is one more than the depth of the deepest element that is looked
// at.
const maxNames = 6

// response parses the body of a response.
func (x *xmlScanner) response(rd *reading) {
	for {
		name, empty, ok := x.open()
		if !ok {
			rd.whole = x.depth == 0
			return
		}
		x.push(name)
		if x.depth == 1 && rd.form == FormXML && isHTML(name) {
			rd.form = FormHTML
		}
		if rd.form == FormHTML {
			if x.title(name, rd) {
				return
			}
		} else {
			x.element(rd)
		}
		if empty {
			x.pop()
		}
	}
}

// element processes the element that was just opened.
func (x *xmlScanner) element(rd *reading) {
	name := x.at(0)
	if x.depth == 1 {
		// A response whose root is an error is one, even if nothing in it can be
		// read.
		rd.failed = rd.failed || ascii.EqualFold(name, "errorresponse") || ascii.EqualFold(name, "error")
		return
	}
	parent := x.at(1)
	switch {
	case x.depth > maxNames:
	case x.isError(1):
		x.errorField(name, rd)
	case x.depth == 2 && ascii.EqualFold(name, "code"):
		rd.flatCode.offerWhole(x.content())
	case x.depth == 2 && ascii.EqualFold(name, "type"):
		rd.flatKind.offerWhole(x.content())
	case x.depth == 2 && ascii.EqualFold(name, "message"):
		rd.flatMessage.offer(x.content())
	case isRequestID(name) && (x.depth == 2 || x.depth == 3 && ascii.EqualFold(parent, "responsemetadata")):
		rd.requestID.offerWhole(x.content())
	case x.depth <= 4 && ascii.EqualFold(name, "errormessage") && ascii.EqualFold(parent, "errormessages"):
		if v := x.content(); !v.empty() {
			rd.items++
			rd.firstItem.offer(v)
		}
	case x.depth == 2 && ascii.EqualFold(name, "ispartial"):
		v := x.content()
		rd.partial = rd.partial || ascii.EqualFold(bytes.TrimSpace(v.raw), "true") && !v.cut
	case x.depth == 2 && !isEnvelope(name):
		v := x.content()
		rd.data = rd.data || !v.empty()
	case x.depth == 3 && !ascii.EqualFold(parent, "responsemetadata") && !ascii.EqualFold(parent, "errors"):
		rd.data = true
	}
}

// isError reports whether the element up levels above the innermost is an
// error: Error as the root, below the root, or below the root's Errors.
func (x *xmlScanner) isError(up int) bool {
	if !ascii.EqualFold(x.at(up), "error") {
		return false
	}
	switch x.depth - up {
	case 1, 2:
		return true
	case 3:
		return ascii.EqualFold(x.at(up+1), "errors")
	}
	return false
}

// errorField reads a child of an error.
func (x *xmlScanner) errorField(name []byte, rd *reading) {
	var into *field
	switch {
	case ascii.EqualFold(name, "code"):
		into = &rd.code
	case ascii.EqualFold(name, "message"):
		into = &rd.message
	case ascii.EqualFold(name, "type"):
		into = &rd.kind
	case ascii.EqualFold(name, "innercode"):
		into = &rd.inner
	case isRequestID(name) && x.depth == 2:
		into = &rd.requestID // below a root called Error
	default:
		return
	}
	v := x.content()
	if v.empty() {
		return
	}
	if into == &rd.message {
		into.offer(v)
	} else {
		into.offerWhole(v)
	}
	if into != &rd.requestID && into != &rd.inner {
		rd.failed = true
	}
}

// title uses the title of a page as the message. It returns true when there is
// nothing more to find.
func (x *xmlScanner) title(name []byte, rd *reading) bool {
	if !ascii.EqualFold(name, "title") && !ascii.EqualFold(name, "h1") {
		return ascii.EqualFold(name, "script")
	}
	v := x.content()
	rd.message.offer(v)
	return !v.empty()
}

// htmlTags are the elements that a page, or a part of one, begins with. The
// last one is sent by hotspots that require a login.
var htmlTags = []string{
	"!doctype", "html", "head", "body", "title", "meta", "link", "style", "script", "noscript", "iframe", "frameset",
	"center", "h1", "h2", "h3", "div", "span", "p", "pre", "a", "b", "br", "hr", "font", "form", "table", "ul",
	"wispaccessgatewayparam",
}

// isHTML reports whether a root of that name begins a page.
func isHTML(name []byte) bool {
	for _, tag := range htmlTags {
		if ascii.EqualFold(name, tag) {
			return true
		}
	}
	return false
}

// open moves behind the next start tag and returns its name without prefix. End
// tags, comments and the like are skipped.
func (x *xmlScanner) open() (name []byte, empty, ok bool) {
	for {
		n := bytes.IndexByte(x.b[x.i:], '<')
		if n < 0 || x.i+n+1 >= len(x.b) {
			x.i = len(x.b)
			return nil, false, false
		}
		x.i += n + 1
		switch c := x.b[x.i]; {
		case c == '/':
			x.i++
			x.close(x.tagName())
		case c == '?':
			x.after([]byte("?>"))
		case c == '!':
			if name, ok := x.declaration(); ok {
				return name, true, true
			}
		case isNameStart(c):
			name = x.tagName()
			empty, ok = x.endOfTag()
			if !ok {
				return nil, false, false
			}
			return name, empty, true
		}
	}
}

// declaration skips a declaration, which begins with "<!". The document type of a page is
// returned as if it were an element.
func (x *xmlScanner) declaration() (name []byte, ok bool) {
	rest := x.b[x.i:]
	switch {
	case bytes.HasPrefix(rest, []byte("!--")):
		x.after([]byte("-->"))
		return nil, false
	case bytes.HasPrefix(rest, []byte("![CDATA[")):
		x.after(cdataClose)
		return nil, false
	}
	const doctype = "!doctype"
	page := len(rest) > len(doctype)+1 && ascii.EqualFold(rest[:len(doctype)], doctype)
	if page {
		i := skipSpace(rest, len(doctype))
		page = len(rest) >= i+len("html") && ascii.EqualFold(rest[i:i+len("html")], "html")
	}
	x.after([]byte(">"))
	return rest[:min(len(doctype), len(rest))], page
}

// after moves behind the next end, or to the end of the text.
func (x *xmlScanner) after(end []byte) {
	n := bytes.Index(x.b[x.i:], end)
	if n < 0 {
		x.i = len(x.b)
		return
	}
	x.i += n + len(end)
}

// isNameStart reports whether a tag's name may begin with c.
func isNameStart(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c == '_' || c >= 0x80
}

// tagName passes a name and returns what is behind its prefix.
func (x *xmlScanner) tagName() []byte {
	start := x.i
	for x.i < len(x.b) {
		switch c := x.b[x.i]; c {
		case ' ', '\t', '\r', '\n', '/', '>', '<':
			return x.b[start:x.i]
		case ':':
			start = x.i + 1
		}
		x.i++
	}
	return x.b[start:]
}

// endOfTag passes the attributes of a start tag and its closing bracket. empty
// reports whether the tag closes itself; ok is false where the text breaks off.
func (x *xmlScanner) endOfTag() (empty, ok bool) {
	end := EndOfTag(x.b[x.i:])
	if end < 0 {
		x.i = len(x.b)
		return false, false
	}
	x.i += end + 1
	return x.b[x.i-2] == '/', true
}

// EndOfTag returns the index of the greater-than sign that ends an XML tag, outside
// of quoted attributes, or -1.
func EndOfTag[T ~string | ~[]byte](tag T) int {
	var quote byte
	for i := range len(tag) {
		switch c := tag[i]; {
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '"' || c == '\'':
			quote = c
		case c == '>':
			return i
		}
	}
	return -1
}

// content passes the text of the element just opened and returns it: up to the
// next end tag, since what is looked at has no children. It stays before that
// tag.
func (x *xmlScanner) content() field {
	start := x.i
	for {
		n := bytes.IndexByte(x.b[x.i:], '<')
		if n < 0 {
			x.i = len(x.b)
			return field{raw: x.b[start:], esc: escapeXML, cut: true}
		}
		x.i += n
		if bytes.HasPrefix(x.b[x.i:], cdataOpen) {
			x.after(cdataClose)
			continue
		}
		return field{raw: x.b[start:x.i], esc: escapeXML, cut: x.i+1 == len(x.b)}
	}
}

// push adds an open element.
func (x *xmlScanner) push(name []byte) {
	if x.depth < maxNames {
		x.names[x.depth] = name
	}
	x.depth++
}

// pop removes the innermost open element.
func (x *xmlScanner) pop() { x.depth-- }

// close closes the element of that name and, with it, those inside that were
// never closed. An end tag that fits no open element is passed over.
func (x *xmlScanner) close(name []byte) {
	if x.depth > maxNames {
		x.depth--
		return
	}
	for d := x.depth - 1; d >= 0; d-- {
		if bytes.EqualFold(x.names[d], name) {
			x.depth = d
			return
		}
	}
}

// at returns the name of the element up levels above the innermost, nil if
// there is none or it is too deep.
func (x *xmlScanner) at(up int) []byte {
	i := x.depth - 1 - up
	if i < 0 || i >= maxNames {
		return nil
	}
	return x.names[i]
}
