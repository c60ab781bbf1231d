package classify

import (
	"bytes"
	"compress/flate"
	"errors"
	"io"
	"sync"
)

// maxInflated bounds what a compressed copy is inflated to, in bytes.
const maxInflated = 64 << 10

// maxInflatedTail bounds what is inflated beyond that to come to the tail.
const maxInflatedTail = 4 << 20

// maxCodings bounds how many codings are undone, one over the other.
const maxCodings = 2

// inflater undoes a content coding of the copy of a body.
type inflater struct {
	source bytes.Reader
	reader io.ReadCloser // a flate.Resetter
	out    [maxCodings][]byte
	end    []byte // where a tail is looked for, two of them long
}

var inflaters = sync.Pool{New: func() any { return new(inflater) }}

// release gives f back. What it inflated is gone then.
func (f *inflater) release() {
	if f == nil {
		return
	}
	f.source.Reset(nil)
	inflaters.Put(f)
}

// decoded is a body without its content codings.
type decoded struct {
	body, tail []byte // see Response
	readable   bool   // no coding is left on them
}

// decode undoes the content codings of body, as far as they are known: gzip by
// its magic number, whatever the field says, and deflate, in zlib's wrapping
// or raw, by coding, the value of Content-Encoding. What cannot be inflated to
// the end is given as far as it goes; the tail of a compressed body is of no
// use. The caller releases f when it is done with the plain bytes; f may be
// nil.
func decode(body, tail, coding []byte) (p decoded, f *inflater) {
	p = decoded{body: body, tail: tail}
	for layer := range maxCodings {
		stream, packed := deflated(p.body, coding)
		if !packed {
			break
		}
		if f == nil {
			f = inflaters.Get().(*inflater) //nolint:forcetypeassert // the pool holds nothing else
		}
		out, end, ok := f.inflate(layer, stream)
		if !ok {
			return p, f
		}
		p.body, p.tail, coding = out, end, nil
	}
	p.readable = !foreignCoding(p.body, coding)
	return p, f
}

// inflate inflates the raw deflate stream to at most maxInflated bytes and,
// where it goes on and ends in time, its tail. They are valid until f is
// released. ok is false if nothing could be inflated.
func (f *inflater) inflate(layer int, stream []byte) (out, tail []byte, ok bool) {
	f.source.Reset(stream)
	if f.reader == nil {
		f.reader = flate.NewReader(&f.source)
	} else if err := f.reader.(flate.Resetter).Reset(&f.source, nil); err != nil { //nolint:forcetypeassert // documented
		return nil, nil, false
	}
	if f.out[layer] == nil {
		f.out[layer] = make([]byte, maxInflated)
	}
	// An error is the end of the prefix, or of what is sane: what came before
	// it counts.
	n, err := io.ReadFull(f.reader, f.out[layer])
	if err == nil {
		tail = f.inflateTail()
	}
	return f.out[layer][:n], tail, n > 0 || errors.Is(err, io.EOF)
}

// inflateTail goes on to the end of the stream and returns its last bytes; nil
// if it does not come to an end.
func (f *inflater) inflateTail() []byte {
	if f.end == nil {
		f.end = make([]byte, 2*TailBytes)
	}
	kept := 0
	for total := 0; total < maxInflatedTail; {
		n, err := f.reader.Read(f.end[kept:])
		total, kept = total+n, kept+n
		switch {
		case errors.Is(err, io.EOF):
			return f.end[max(0, kept-TailBytes):kept]
		case err != nil:
			return nil
		case kept == len(f.end):
			kept = copy(f.end, f.end[TailBytes:])
		}
	}
	return nil
}

// deflated returns the raw deflate stream in body, if it is in a coding that
// can be undone.
func deflated(body, coding []byte) (stream []byte, ok bool) {
	if len(body) >= 3 && body[0] == 0x1f && body[1] == 0x8b && body[2] == 8 {
		return gzipStream(body)
	}
	if !hasToken(coding, "deflate") || looksPlain(body) {
		return nil, false
	}
	if len(body) >= 2 && body[0]&0x0f == 8 && (int(body[0])<<8|int(body[1]))%31 == 0 {
		return body[2:], true
	}
	return body, len(body) > 0
}

// The flags of a gzip head.
const (
	gzipHeadCRC = 1 << 1
	gzipExtra   = 1 << 2
	gzipName    = 1 << 3
	gzipComment = 1 << 4
	gzipHead    = 10 // bytes before the optional parts
)

// gzipStream passes the head of a gzip member.
func gzipStream(b []byte) ([]byte, bool) {
	if len(b) < gzipHead {
		return nil, false
	}
	flags, b := b[3], b[gzipHead:]
	if flags&gzipExtra != 0 {
		if len(b) < 2 {
			return nil, false
		}
		n := 2 + int(b[0]) + int(b[1])<<8
		if len(b) < n {
			return nil, false
		}
		b = b[n:]
	}
	for _, text := range []byte{gzipName, gzipComment} {
		if flags&text == 0 {
			continue
		}
		end := bytes.IndexByte(b, 0)
		if end < 0 {
			return nil, false
		}
		b = b[end+1:]
	}
	if flags&gzipHeadCRC != 0 {
		if len(b) < 2 {
			return nil, false
		}
		b = b[2:]
	}
	return b, true
}

// looksPlain reports whether body begins as JSON or XML does, in spite of a
// field that calls it compressed.
func looksPlain(body []byte) bool {
	i := skipSpace(body, 0)
	return i < len(body) && (body[i] == '{' || body[i] == '<') && (i+1 == len(body) || body[i+1] >= ' ' && body[i+1] < 0x7f || body[i+1] == '\n' || body[i+1] == '\r')
}

// foreignCoding reports whether coding names one that is not known (br, zstd)
// and body looks the part.
func foreignCoding(body, coding []byte) bool {
	coding = bytes.TrimSpace(coding)
	if len(coding) == 0 || hasToken(coding, "identity") {
		return false
	}
	return len(body) > 0 && !looksPlain(body)
}

// hasToken reports whether the comma-separated list has token, which is in
// lower case.
func hasToken(list []byte, token string) bool {
	for len(list) > 0 {
		item := list
		if i := bytes.IndexByte(list, ','); i >= 0 {
			item, list = list[:i], list[i+1:]
		} else {
			list = nil
		}
		if equalFold(bytes.TrimSpace(item), token) {
			return true
		}
	}
	return false
}
