package http1

import (
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ksyun-tap/ksyun-tap/collector/relay/http1/http1test"
)

// response is what was read of responses.
type response struct {
	status     int
	odd        bool
	body       []byte
	untilClose bool
	n          int // bytes
}

// readResponse reads one response to GET or HEAD, interim ones passed over, in
// pieces of at most step bytes.
func readResponse(in []byte, step int, head bool) (a response, err error) {
	scratch := make([]byte, 0, min(step, len(in)))
	for {
		rest := in[a.n:]
		end, from := 0, 0
		for at := min(step, len(rest)); end == 0; at = min(at+step, len(rest)) {
			if end, from, err = ScanResponse(rest[:at], from, 4*maxHead); err != nil {
				return a, err
			}
			if end == 0 && at == len(rest) {
				return a, errUnfinished
			}
		}
		var p Response
		if err := p.Parse(in, a.n, a.n+end); err != nil {
			return a, err
		}
		a.status, a.odd = p.Status, a.odd || p.Odd()
		a.n += end
		if p.Status < 200 {
			continue
		}
		body := p.Body(head)
		for !body.Done && a.n < len(in) {
			before, piece := body, in[a.n:min(a.n+step, len(in))]
			n, err := body.Take(piece)
			if err != nil {
				return a, err
			}
			a.n += n
			a.body = append(a.body, before.Data(append(scratch[:0], piece[:n]...))...)
		}
		a.odd, a.untilClose = a.odd || body.Odd(), body.UntilClose()
		if !body.Done && !body.UntilClose() {
			return a, errUnfinished
		}
		return a, nil
	}
}

var steps = []int{1, 7, 1 << 20}

func TestLegalResponsesAreRead(t *testing.T) {
	for name, resp := range http1test.LegalResponses() {
		t.Run(name, func(t *testing.T) {
			for _, step := range steps {
				a, err := readResponse([]byte(resp), step, strings.HasPrefix(name, "HEAD"))
				if err != nil || a.odd || a.n != len(resp) || a.untilClose != strings.HasPrefix(name, "until close") {
					t.Errorf("in steps of %d: %+.200v, %v", step, a, err)
				}
			}
		})
	}
}

func TestOddResponsesAreRead(t *testing.T) {
	for name, resp := range http1test.OddResponses() {
		t.Run(name, func(t *testing.T) {
			for _, step := range steps {
				a, err := readResponse([]byte(resp.Bytes), step, false)
				if err != nil || !a.odd || a.n != len(resp.Bytes) || string(a.body) != resp.Body || a.untilClose != strings.HasPrefix(name, "until close") {
					t.Errorf("in steps of %d: %+.200v, %v", step, a, err)
				}
			}
		})
	}
}

func TestUnreadableResponses(t *testing.T) {
	for name, resp := range http1test.UnreadableResponses() {
		t.Run(name, func(t *testing.T) {
			for _, step := range steps {
				a, err := readResponse([]byte(resp), step, false)
				_, ok := errors.AsType[*RefusalError](err)
				assert.True(t, ok, "in steps of %d: %+.200v, %v", step, a, err)
			}
		})
	}
}

func TestTooLongResponses(t *testing.T) {
	for name, resp := range http1test.TooLongResponses() {
		t.Run(name, func(t *testing.T) {
			for _, step := range steps {
				_, err := readResponse([]byte(resp), step, false)
				assert.ErrorIs(t, err, ErrHeadTooLarge, "in steps of %d", step)
			}
		})
	}
}

func TestFieldsOfOddResponses(t *testing.T) {
	const head = "HTTP/1.1 200 OK\r\nX-Fold: a \r\n\t b\r\n  \r\n c \r\nX-Empty:\r\nX-Blank : d\r\nX-LF: e\nX-Fold-LF:\n f\n g\n\r\n"
	for _, moved := range []int{0, 5} {
		mem := append(make([]byte, moved), head...)
		var p Response
		require.NoError(t, p.Parse(mem[moved:], 0, len(head)))
		p.Rebase(mem, moved)
		for name, want := range map[string]string{"x-fold": "a b  c", "X-Empty": "", "X-BLANK": "d", "X-Lf": "e", "X-Fold-LF": " f g"} {
			if got := p.Get(name); string(got) != want || got == nil {
				t.Errorf("%s: %q, want %q", name, got, want)
			}
		}
		assert.Nil(t, p.Get("X-None"), "a field that is not there")
		var all []string
		for name, value := range p.Fields() {
			all = append(all, string(name)+"="+string(value))
		}
		assert.Equal(t, "X-Fold=a b  c;X-Empty=;X-Blank=d;X-LF=e;X-Fold-LF= f g", strings.Join(all, ";"))
		assert.Equal(t, head, string(p.Bytes()), "changed")
	}
}

func TestAddClose(t *testing.T) {
	for _, end := range []string{"\r\n", "\n"} {
		head := "HTTP/1.1 200 OK" + end + "A: b" + end + "C: d" + end + end
		mem := memory([]byte(head + "body"))
		var p Response
		require.NoError(t, p.Parse(mem, headroom, headroom+len(head)))
		p.AddClose()
		want := strings.TrimSuffix(head, end) + "Connection: close\r\n" + end
		if got := string(mem[p.Start():]); got != want+"body" || string(p.Bytes()) != want {
			t.Errorf("%q, want %q", got, want+"body")
		}
		assert.Equal(t, "d", string(p.Get("c")))
	}
}
