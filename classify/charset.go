package classify

import (
	"bytes"
	"errors"
	"slices"
	"unicode/utf8"

	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"

	"github.com/ksyun-tap/ksyun-tap/classify/internal/ascii"
)

// charset is a character set.
type charset int

const (
	charsetUTF8    charset = iota // or none that is named
	charsetGB                     // GB 18030, with its parts GBK and GB 2312
	charsetUTF16LE                // UTF-16, little-endian
	charsetUTF16BE                // UTF-16, big-endian
	charsetOther
)

// wide returns the kind of UTF-16 that body is in, by its byte order mark or by
// where its NULs are; or charsetUTF8 if it is in neither.
func wide(body []byte) charset {
	switch {
	case bytes.HasPrefix(body, []byte("\xff\xfe")):
		return charsetUTF16LE
	case bytes.HasPrefix(body, []byte("\xfe\xff")):
		return charsetUTF16BE
	case len(body) < 2 || (body[0] == 0) == (body[1] == 0):
		return charsetUTF8
	case body[0] == 0:
		return charsetUTF16BE
	default:
		return charsetUTF16LE
	}
}

// charsetOf returns the character set that contentType or the XML declaration
// of body names.
func charsetOf(body, contentType []byte) charset {
	name := parameter(contentType, "charset")
	if len(name) == 0 && bytes.HasPrefix(body, []byte("<?xml")) {
		declaration, _, _ := bytes.Cut(body[:min(len(body), 128)], []byte("?>"))
		name = parameter(declaration, "encoding")
	}
	return charsetNamed(name)
}

// charsetNamed returns the character set of that name. A body that is declared
// as UTF-16 but does not look like it has another one.
func charsetNamed(name []byte) charset {
	for _, known := range []struct {
		name string
		set  charset
	}{
		{"", charsetUTF8},
		{"utf-8", charsetUTF8},
		{"utf8", charsetUTF8},
		{"us-ascii", charsetUTF8},
		{"iso-8859-1", charsetUTF8}, // the default of servers without a setting
		{"utf-16", charsetUTF8},
		{"utf-16le", charsetUTF8},
		{"utf-16be", charsetUTF8},
		{"gbk", charsetGB},
		{"gb2312", charsetGB},
		{"gb18030", charsetGB},
		{"gb_2312-80", charsetGB},
		{"x-gbk", charsetGB},
		{"cp936", charsetGB},
	} {
		if ascii.EqualFold(name, known.name) {
			return known.set
		}
	}
	return charsetOther
}

// parameter returns the value of name="value" in text, nil if it is not there.
func parameter(text []byte, name string) []byte {
	for rest := text; ; {
		i := bytes.IndexByte(rest, '=')
		if i < 0 {
			return nil
		}
		before, value := text[:len(text)-len(rest)+i], rest[i+1:]
		start := len(before) - len(name)
		if start >= 0 && ascii.EqualFold(before[start:], name) && (start == 0 || !isNameByte(before[start-1])) {
			value = bytes.TrimLeft(value, "\"'")
			if end := bytes.IndexAny(value, "\"'; \t"); end >= 0 {
				value = value[:end]
			}
			return value
		}
		rest = value
	}
}

// narrow converts p from UTF-16 to UTF-8.
func (p *plainBody) narrow(d **decoder) {
	switch set := wide(p.body); set {
	case charsetUTF16LE:
		p.transcode(d, set, unicode.UTF16(unicode.LittleEndian, unicode.UseBOM).NewDecoder())
	case charsetUTF16BE:
		p.transcode(d, set, unicode.UTF16(unicode.BigEndian, unicode.UseBOM).NewDecoder())
	case charsetUTF8, charsetGB, charsetOther:
	}
}

// utf8 converts p from GB 18030 to UTF-8, if it is declared to be in that set
// or in none. It returns false if p is unchanged. Text that is valid UTF-8 is
// never converted: a wrong declaration is more frequent than text in another
// set that is valid UTF-8 by chance.
func (p *plainBody) utf8(d **decoder, contentType []byte) (changed bool) {
	if utf8.Valid(wholeRunes(p.body)) {
		return false
	}
	set := charsetOf(p.body, contentType)
	if set == charsetOther {
		p.miss(UnreadCharset) // what is ASCII in it is read
		return false
	}
	return p.transcode(d, set, simplifiedchinese.GB18030.NewDecoder())
}

// transcode converts p to UTF-8. It returns false, and p is unchanged, if set
// was only a guess and is wrong.
func (p *plainBody) transcode(d **decoder, set charset, from transform.Transformer) bool {
	*d = getDecoder(*d)
	text, ok := (*d).transcode(0, from, p.body)
	if !ok {
		p.miss(UnreadCharset)
		if set == charsetUTF8 {
			return false
		}
	}
	p.body = text
	if p.tail = alignTail(p.tail, set); p.tail != nil {
		p.tail, _ = (*d).transcode(1, from, p.tail)
	}
	return true
}

// miss notes why a part of p is not read, unless another reason is known.
func (p *plainBody) miss(why Unread) {
	if p.unread == UnreadNone {
		p.unread = why
	}
}

// alignTail returns tail without the bytes before its first whole character.
func alignTail(tail []byte, set charset) []byte {
	for i := 0; i+1 < len(tail); i++ {
		switch {
		case set == charsetUTF16LE && tail[i] != 0 && tail[i+1] == 0,
			set == charsetUTF16BE && tail[i] == 0 && tail[i+1] != 0,
			set < charsetUTF16LE && tail[i] < '0': // which is no part of another character
			return tail[i:]
		}
	}
	return nil
}

// transcode returns src in UTF-8. ok is false if a part of it is not in that
// encoding. A character that is cut off at the end is left out.
func (d *decoder) transcode(i int, from transform.Transformer, src []byte) (text []byte, ok bool) {
	dst := slices.Grow(d.text[i][:0], len(src)*3/2+utf8.UTFMax)
	from.Reset()
	n, _, err := from.Transform(dst[:cap(dst)], src, false)
	d.text[i] = dst[:n]
	return d.text[i], (err == nil || errors.Is(err, transform.ErrShortSrc)) && !bytes.ContainsRune(d.text[i], utf8.RuneError)
}

// hiddenBackslash reports whether a backslash in body may be the second byte of a
// character, as in GBK, and not an escape.
func hiddenBackslash(body []byte) bool {
	for i := 0; ; i++ {
		n := bytes.IndexByte(body[i:], '\\')
		if n < 0 {
			return false
		}
		if i += n; i > 0 && body[i-1] >= 0x80 {
			return true
		}
	}
}
