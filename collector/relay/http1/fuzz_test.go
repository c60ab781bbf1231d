package http1

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ksyun-tap/ksyun-tap/collector/relay/http1/http1test"
)

// headroom is what a head may grow by at its front.
const headroom = 64

// The fuzz tests compare our parsers with those of net/http: whatever we take,
// it must take, with the same framing. Of requests we may take less, of responses
// more.

// memory lies in wait for a head with the headroom of a buffer.
func memory(head []byte) []byte {
	return append(make([]byte, headroom, headroom+len(head)), head...)
}

// consumed counts what read takes of b.
func consumed(b []byte, read func(br *bufio.Reader) error) (n int, err error) {
	src := bytes.NewReader(b)
	br := bufio.NewReaderSize(src, len(b)+16)
	err = read(br)
	return len(b) - src.Len() - br.Buffered(), err
}

// addShort adds a message to the corpus unless it is so long that mutating it
// is slow.
func addShort(f *testing.F, message string) {
	if len(message) < 4<<10 {
		f.Add([]byte(message))
	}
}

func FuzzRequestHead(f *testing.F) {
	for _, req := range http1test.LegalRequests() {
		addShort(f, req)
	}
	for _, requests := range http1test.MalformedRequests() {
		for _, req := range requests {
			addShort(f, req)
		}
	}
	f.Add([]byte("GET http://h?x HTTP/1.1\r\nHost: h\r\nConnection: a, close\r\nA: b\r\nTE: x\r\n\r\n"))
	f.Add([]byte("OPTIONS HTTPS://h HTTP/1.0\r\n\r\n"))
	f.Add([]byte("CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n\r\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		if len(in) > 100<<10 {
			return
		}
		end, _, err := ScanRequest(in, 0, maxHead)
		if err != nil || end == 0 {
			return
		}
		var q Request
		mem := memory(in[:end])
		if q.Parse(mem, headroom, len(mem)) != nil {
			return
		}
		framing := q.Body()
		n, err := framing.Take(in[end:])
		if err != nil {
			return
		}

		// Odd escapes in a target are the upstream's business; its framing is
		// compared all the same.
		plain := bytes.Replace(in, mem[headroom+q.method+1:bytes.IndexByte(mem[headroom:], '\n')+headroom-len(" HTTP/1.1\r")], []byte("/"), 1)
		if string(q.Method()) == "CONNECT" || q.Form == FormAsterisk {
			plain = in
		}
		shrunk := len(in) - len(plain)
		theirs, err := consumed(plain, func(br *bufio.Reader) error {
			req, err := http.ReadRequest(br)
			if err != nil {
				return err
			}
			_, err = io.Copy(io.Discard, req.Body)
			return err
		})
		switch {
		case err != nil && strings.Contains(err.Error(), "too much non-data"):
		case framing.Done && err != nil:
			t.Fatalf("we take it, net/http says: %v", err)
		case framing.Done && theirs+shrunk != end+n:
			t.Fatalf("the message ends at %d for us, at %d for net/http", end+n, theirs+shrunk)
		case !framing.Done && err == nil:
			t.Fatalf("the message goes on for us, and ends at %d for net/http", theirs+shrunk)
		}

		for at, from := 1, 0; ; at++ {
			e, next, err := ScanRequest(in[:at], from, maxHead)
			if err != nil || e != 0 {
				if e != end || err != nil {
					t.Fatalf("the head ends at %d, byte by byte at %d, %v", end, e, err)
				}
				break
			}
			from = next
		}

		before := q
		for _, keep := range []string{"", "connection;proxy-connection"} {
			mem := memory(in[:end])
			require.NoError(t, q.Parse(mem, headroom, len(mem)), "read once more")
			q.Prepare([]byte(keep))
			var again Request
			if err := again.Parse(memory(q.Bytes()), headroom, headroom+len(q.Bytes())); err != nil {
				t.Fatalf("what is passed on cannot be read: %v\n%q", err, q.Bytes())
			}
			if keep == "" && again.HopByHop() || again.length != before.length || again.chunked != before.chunked ||
				again.Form == FormAbsolute || again.close != (before.close && !q.Close()) || string(again.Host()) != string(q.Host()) {
				t.Fatalf("what is passed on reads differently: %q", q.Bytes())
			}
		}
	})
}

func FuzzResponseHead(f *testing.F) {
	for _, resp := range http1test.LegalResponses() {
		addShort(f, resp)
	}
	for _, resp := range http1test.OddResponses() {
		addShort(f, resp.Bytes)
	}
	for _, resp := range http1test.UnreadableResponses() {
		addShort(f, resp)
	}
	f.Add([]byte("HTTP/1.1 200 OK\r\nConnection: x, close\r\nX: 1\r\nKeep-Alive: 5\r\nContent-Length: 1\r\n\r\nx"))
	f.Add([]byte("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\nx"))
	f.Fuzz(func(t *testing.T, in []byte) {
		if len(in) > 100<<10 {
			return
		}
		end, _, err := ScanResponse(in, 0, maxHead)
		if err != nil || end == 0 {
			return
		}
		theirs, theirErr := consumed(in, func(br *bufio.Reader) error {
			resp, err := http.ReadResponse(br, nil)
			if err != nil {
				return err
			}
			_, err = io.Copy(io.Discard, resp.Body)
			return err
		})
		var p Response
		var framing Body
		n := 0
		mem := memory(in[:end])
		if err = p.Parse(mem, headroom, len(mem)); err == nil {
			framing = p.Body(false)
			n, err = framing.Take(in[end:])
		}
		if err != nil {
			in10 := p.codings && p.minor == 0 // net/http passes over the coding
			if theirErr == nil && !in10 && !theirsAlone(err) {
				t.Fatalf("net/http takes it, we say: %v", err)
			}
			return
		}
		odd := p.Odd() || framing.Odd()
		whole := framing.Done || framing.UntilClose()
		switch {
		case p.codings && p.minor == 0:
		case odd && theirErr != nil:
		case theirErr != nil && strings.Contains(theirErr.Error(), "too much non-data"):
		case whole && theirErr != nil:
			t.Fatalf("we take it, net/http says: %v", theirErr)
		case whole && theirs != end+n:
			t.Fatalf("the message ends at %d for us, at %d for net/http", end+n, theirs)
		case !whole && theirErr == nil:
			t.Fatalf("the message goes on for us, and ends at %d for net/http", theirs)
		}

		before := p
		p.AddClose()
		var again Response
		if err := again.Parse(memory(p.Bytes()), headroom, headroom+len(p.Bytes())); err != nil {
			t.Fatalf("what is passed on cannot be read: %v\n%q", err, p.Bytes())
		}
		if !bytes.Contains(p.Bytes(), []byte(closeField)) || again.Status != before.Status || again.length != before.length || again.chunked != before.chunked {
			t.Fatalf("what is passed on reads differently: %q", p.Bytes())
		}
	})
}

// theirsAlone reports whether it is known that net/http reads responses in spite
// of err.
func theirsAlone(err error) bool {
	return errors.Is(err, errStatusLine) || errors.Is(err, errVersion) || errors.Is(err, errBlankName) || errors.Is(err, errTrailerLarge)
}

func FuzzChunked(f *testing.F) {
	for _, messages := range []map[string]string{http1test.LegalRequests(), http1test.MalformedRequests()["400"]} {
		for name, req := range messages {
			if _, body, ok := strings.Cut(req, "\r\n\r\n"); ok && strings.Contains(name, "chunk") {
				f.Add([]byte(body), uint16(3))
			}
		}
	}
	const head = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
	f.Fuzz(func(t *testing.T, in []byte, step uint16) {
		if len(in) > 8<<10 {
			return
		}
		for _, lenient := range []bool{false, true} {
			whole := Body{kind: bodyChunked, lenient: lenient}
			n, err := whole.Take(in)

			pieces := Body{kind: bodyChunked, lenient: lenient}
			at, size := 0, int(step)%64+1
			var pieceErr error
			for at < len(in) && !pieces.Done && pieceErr == nil {
				var k int
				k, pieceErr = pieces.Take(in[at:min(at+size, len(in))])
				at += k
			}
			if at != n || !errors.Is(pieceErr, err) || pieces != whole {
				t.Fatalf("in one piece: %d, %v; in pieces of %d: %d, %v", n, err, size, at, pieceErr)
			}
			if err != nil {
				continue
			}
			if !lenient {
				other := Body{kind: bodyChunked, lenient: true}
				if k, err := other.Take(in); k != n || err != nil || other.Done != whole.Done || other.Odd() {
					t.Fatalf("of a request: %d; of a response: %d, %v, odd: %v", n, k, err, other.Odd())
				}
			}

			var data bytes.Buffer
			theirs, err := consumed(append([]byte(head), in...), func(br *bufio.Reader) error {
				req, err := http.ReadRequest(br)
				if err != nil {
					return err
				}
				_, err = io.Copy(&data, req.Body)
				return err
			})
			switch {
			case err != nil && strings.Contains(err.Error(), "too much non-data"):
			case whole.Odd() && err != nil: // others read it
			case whole.Done && err != nil:
				t.Fatalf("we take it, net/http says: %v", err)
			case whole.Done && theirs != len(head)+n:
				t.Fatalf("the body ends at %d for us, at %d for net/http", n, theirs-len(head))
			case !whole.Done && err == nil:
				t.Fatalf("the body goes on for us, and ends at %d for net/http", theirs-len(head))
			case whole.Done && !bytes.Equal(Dechunk(bytes.Clone(in[:n])), data.Bytes()):
				t.Fatalf("the data is %q for us, %q for net/http", Dechunk(bytes.Clone(in[:n])), data.Bytes())
			}
		}
	})
}
