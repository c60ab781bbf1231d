package classify

import (
	"bytes"
	"errors"
	"io"
	"sync"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/ksyun-tap/ksyun-tap/classify/internal/ascii"
)

// The limits for decompressing the copy of a compressed body, in bytes.
const (
	maxInflated     = 64 << 10 // kept of its beginning
	maxInflatedTail = 4 << 20  // read beyond that to come to its end
	maxBrotliTail   = 1 << 20  // the same for Brotli, which is the slowest
	maxWindow       = 8 << 20  // Zstandard's, the bound of RFC 9659
)

// maxCodings is the maximum number of nested codings that are decoded.
const maxCodings = 2

// plainBody is a decoded body.
type plainBody struct {
	body, tail []byte // see Response
	unread     Unread
	opaque     bool // a content coding could not be decoded
}

// decoder decodes the content codings and the character set of the copy of a body.
// It reuses its readers and buffers.
type decoder struct {
	source bytes.Reader
	gzip   gzip.Reader
	flate  io.ReadCloser // a flate.Resetter
	zstd   *zstd.Decoder
	brotli brotli.Reader
	out    [maxCodings][]byte
	end    []byte    // where a tail is looked for, two of them long
	text   [2][]byte // body and tail in UTF-8
}

var decoders = sync.Pool{New: func() any { return new(decoder) }}

// getDecoder returns d, or one from the pool if d is nil.
func getDecoder(d *decoder) *decoder {
	if d == nil {
		d = decoders.Get().(*decoder) //nolint:forcetypeassert // the pool holds nothing else
	}
	return d
}

// release returns d to the pool. The decoded bytes must not be used afterwards. d may be nil.
func (d *decoder) release() {
	if d == nil {
		return
	}
	d.source.Reset(nil)
	for i := range d.text {
		if cap(d.text[i]) > 4*maxInflated {
			d.text[i] = nil
		}
	}
	decoders.Put(d)
}

// coding is a content coding.
type coding int

const (
	codingNone coding = iota
	codingGzip
	codingDeflate
	codingZstd
	codingBrotli
	codingUnknown
)

var zstdMagic = []byte{0x28, 0xb5, 0x2f, 0xfd}

// codingOf returns the coding of body: by its magic number or, if it has none,
// by the last entry of list, the value of Content-Encoding. A body that is
// readable as it is has no coding.
func codingOf(body, list []byte) coding {
	switch {
	case len(body) == 0:
		return codingNone
	case len(body) >= 3 && body[0] == 0x1f && body[1] == 0x8b && body[2] == 8:
		return codingGzip
	case bytes.HasPrefix(body, zstdMagic):
		return codingZstd
	}
	name := bytes.TrimSpace(list[bytes.LastIndexByte(list, ',')+1:])
	if len(name) == 0 || ascii.EqualFold(name, "identity") || looksPlain(body) {
		return codingNone
	}
	switch {
	case ascii.EqualFold(name, "deflate"):
		return codingDeflate
	case ascii.EqualFold(name, "br"):
		return codingBrotli
	}
	return codingUnknown
}

// decode decodes the content codings of a body with the fields h. A body that cannot be
// decoded completely is returned as far as it can be. The given tail of a compressed body
// is ignored. The caller releases d when it is done with the plain bytes; d may be nil.
func decode(body, tail []byte, h Header, truncated bool) (p plainBody, d *decoder) {
	p = plainBody{body: body, tail: tail}
	if truncated {
		p.unread = UnreadLength
	}
	if looksPlain(body) { // so that it has no coding, whatever the fields say
		return p, nil
	}
	list := get(h, headerCoding)
	for layer := 0; ; layer++ {
		kind := codingOf(p.body, list)
		if kind == codingNone {
			return p, d
		}
		if kind == codingUnknown || layer == maxCodings {
			p.opaque, p.unread = true, UnreadCoding
			return p, d
		}
		d = getDecoder(d)
		cut := p.unread == UnreadLength
		p.body, p.tail, p.unread = d.undo(layer, kind, p.body, cut)
		if p.unread == UnreadCoding && len(p.body) == 0 {
			p.opaque = true
			return p, d
		}
		list = list[:max(0, bytes.LastIndexByte(list, ','))]
	}
}

// undo decompresses src, which is incomplete if cut is true. It returns at most
// maxInflated bytes and, if the stream is longer but ends within the limits,
// its tail.
func (d *decoder) undo(layer int, kind coding, src []byte, cut bool) (out, tail []byte, unread Unread) {
	r, err := d.open(kind, src)
	if d.out[layer] == nil {
		d.out[layer] = make([]byte, maxInflated)
	}
	out = d.out[layer]
	n := 0
	for err == nil && n < len(out) {
		var m int
		m, err = r.Read(out[n:])
		n += m
	}
	if err == nil {
		most := maxInflatedTail
		if kind == codingBrotli {
			most = maxBrotliTail
		}
		tail, err = d.inflateTail(r, most)
	}
	switch {
	case errors.Is(err, io.EOF):
	case errors.Is(err, errLong), errors.Is(err, io.ErrUnexpectedEOF) && cut:
		unread = UnreadLength
	default:
		unread = UnreadCoding
	}
	if cut && unread == UnreadNone {
		unread = UnreadLength
	}
	return out[:n], tail, unread
}

// open returns a reader that decodes src with the given coding.
func (d *decoder) open(kind coding, src []byte) (io.Reader, error) {
	d.source.Reset(src)
	switch kind {
	case codingGzip:
		return (*gzipMembers)(d), d.nextMember()
	case codingZstd:
		if d.zstd == nil {
			var err error
			d.zstd, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
			if err != nil {
				return nil, err
			}
		}
		return d.zstd, d.zstd.Reset(&d.source)
	case codingBrotli:
		return &d.brotli, d.brotli.Reset(&d.source)
	}
	// Servers send both raw deflate streams and zlib streams as deflate.
	if len(src) >= 2 && src[0]&0x0f == 8 && (int(src[0])<<8|int(src[1]))%31 == 0 {
		d.source.Reset(src[2:])
	}
	if d.flate == nil {
		d.flate = flate.NewReader(&d.source)
		return d.flate, nil
	}
	return d.flate, d.flate.(flate.Resetter).Reset(&d.source, nil) //nolint:forcetypeassert // documented
}

// gzipMembers reads the members of a gzip file, and ignores what follows the last
// one as other readers do.
type gzipMembers decoder

// nextMember begins with the next member of d.source.
func (d *decoder) nextMember() error {
	err := d.gzip.Reset(&d.source)
	d.gzip.Multistream(false)
	return err
}

// Read implements io.Reader.
func (m *gzipMembers) Read(p []byte) (int, error) {
	n, err := m.gzip.Read(p)
	if !errors.Is(err, io.EOF) {
		return n, err
	}
	if a, _ := m.source.ReadByte(); a != 0x1f {
		return n, io.EOF
	}
	if b, _ := m.source.ReadByte(); b != 0x8b {
		return n, io.EOF
	}
	if _, err := m.source.Seek(-2, io.SeekCurrent); err != nil {
		return n, err
	}
	return n, (*decoder)(m).nextMember()
}

// errLong is returned if the decompressed body exceeds the limit.
var errLong = errors.New("classify: too long when decompressed")

// inflateTail reads up to most bytes of r, and returns the last ones. The
// error is io.EOF if r has ended, or errLong if there is more.
func (d *decoder) inflateTail(r io.Reader, most int) ([]byte, error) {
	if d.end == nil {
		d.end = make([]byte, 2*TailBytes)
	}
	kept := 0
	for total := 0; total < most; {
		n, err := r.Read(d.end[kept:])
		total, kept = total+n, kept+n
		switch {
		case errors.Is(err, io.EOF):
			if total > TailBytes {
				err = errLong
			}
			return d.end[max(0, kept-TailBytes):kept], err
		case err != nil:
			return nil, err
		case kept == len(d.end):
			kept = copy(d.end, d.end[TailBytes:])
		}
	}
	return nil, errLong
}

// looksPlain reports whether body begins like JSON, XML or plain text, although
// a field declares it to be compressed.
func looksPlain(body []byte) bool {
	const enough = 16 // more than the header of any coding is so long and all printable
	i := skipSpace(body, 0)
	if i < len(body) && (body[i] == '{' || body[i] == '<') && (i+1 == len(body) || printable(body[i+1:i+2])) {
		return true
	}
	return len(body) >= enough && printable(body[:enough])
}

// printable reports whether b is ASCII without control characters other than
// blanks.
func printable(b []byte) bool {
	for _, c := range b {
		if c < ' ' && c != '\n' && c != '\r' && c != '\t' || c >= 0x7f {
			return false
		}
	}
	return true
}
