package classify

import (
	"bytes"
	"errors"
	"slices"
	"unicode/utf8"

	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"
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

// charsetOf returns the character set of body: by its byte order mark, by
// where its NULs are, by contentType, or by the XML declaration.
func charsetOf(body, contentType []byte) charset {
	switch {
	case bytes.HasPrefix(body, []byte("\xff\xfe")):
		return charsetUTF16LE
	case bytes.HasPrefix(body, []byte("\xfe\xff")):
		return charsetUTF16BE
	}
	if n := min(len(body), 16) &^ 1; n >= 2 && bytes.IndexByte(body[:n], 0) >= 0 {
		switch {
		case body[1] == 0 && body[0] != 0:
			return charsetUTF16LE
		case body[0] == 0 && body[1] != 0:
			return charsetUTF16BE
		}
	}
	name := parameter(contentType, "charset")
	if len(name) == 0 && bytes.HasPrefix(body, []byte("<?xml")) {
		declaration, _, _ := bytes.Cut(body[:min(len(body), 128)], []byte("?>"))
		name = parameter(declaration, "encoding")
	}
	return charsetNamed(name)
}

// charsetNamed returns the character set of that name. UTF-16 is known by its
// bytes: what names it and shows no sign of it is not.
func charsetNamed(name []byte) charset {
	for _, known := range []struct {
		name string
		set  charset
	}{
		{"", charsetUTF8},
		{"utf-8", charsetUTF8},
		{"utf8", charsetUTF8},
		{"us-ascii", charsetUTF8},
		{"iso-8859-1", charsetUTF8}, // the default of servers that were told nothing
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
		if equalFold(name, known.name) {
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
		if start >= 0 && equalFold(before[start:], name) && (start == 0 || !isNameByte(before[start-1])) {
			value = bytes.TrimLeft(value, "\"'")
			if end := bytes.IndexAny(value, "\"'; \t"); end >= 0 {
				value = value[:end]
			}
			return value
		}
		rest = value
	}
}

// utf8 brings p to UTF-8 if it is written otherwise. An ASCII-compatible
// character set is left alone where p is UTF-8 all the same: it is named
// wrongly more often than it is valid UTF-8 by chance. guess tells to try GB
// 18030 where none is named. It is false if p was left alone.
func (p *plainBody) utf8(d **decoder, contentType []byte, guess bool) (changed bool) {
	set := charsetOf(p.body, contentType)
	var from transform.Transformer
	switch set {
	case charsetUTF16LE:
		from = unicode.UTF16(unicode.LittleEndian, unicode.UseBOM).NewDecoder()
	case charsetUTF16BE:
		from = unicode.UTF16(unicode.BigEndian, unicode.UseBOM).NewDecoder()
	case charsetUTF8, charsetGB, charsetOther:
		if set == charsetUTF8 && !guess || utf8.Valid(wholeRunes(p.body)) {
			return false
		}
		if set == charsetOther {
			p.miss(UnreadCharset) // what is ASCII in it is read
			return false
		}
		from = simplifiedchinese.GB18030.NewDecoder()
	}
	*d = getDecoder(*d)
	text, ok := (*d).transcode(0, from, p.body)
	if !ok {
		p.miss(UnreadCharset)
		if set == charsetUTF8 {
			return false // a wrong guess
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

// alignTail returns tail from the first byte on that begins a character.
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

// hidesBackslash reports whether a backslash in body may be the second byte of
// a character, as in GBK, where it ends no string.
func hidesBackslash(body []byte) bool {
	for {
		i := bytes.IndexByte(body, '\\')
		if i < 0 {
			return false
		}
		if i > 0 && body[i-1] >= 0x80 {
			return true
		}
		body = body[i+1:]
	}
}
