package http1

import (
	"errors"
	"strconv"
	"strings"
	"testing"

	"github.com/ksyun-tap/ksyun-tap/collector/relay/http1/http1test"
)

const maxHead = 64 << 10

// read reads one request as a relay does, in pieces of at most step bytes. It
// returns what the request is passed on as, and how many bytes it took.
func read(in []byte, step int) (out string, n int, err error) {
	var q Request
	end, from := 0, 0
	for at := min(step, len(in)); end == 0; at = min(at+step, len(in)) {
		if end, from, err = ScanRequest(in[:at], from, maxHead); err != nil {
			return "", 0, err
		}
		if end == 0 && at == len(in) {
			return "", 0, errUnfinished
		}
	}
	mem := memory(in)
	if err := q.Parse(mem, headroom, headroom+end); err != nil {
		return "", 0, err
	}
	body := q.Body()
	for n = end; !body.Done && n < len(in); {
		k, err := body.Take(in[n:min(n+step, len(in))])
		if err != nil {
			return "", 0, err
		}
		n += k
	}
	if !body.Done {
		return "", 0, errUnfinished
	}
	q.Prepare(nil)
	return string(mem[q.Start() : headroom+n]), n, nil
}

var errUnfinished = errors.New("the message is unfinished")

func TestLegalRequestsPassUnchanged(t *testing.T) {
	for name, req := range http1test.LegalRequests() {
		t.Run(name, func(t *testing.T) {
			for _, step := range []int{1, 7, 1 << 20} {
				if out, n, err := read([]byte(req+"GET"), step); out != req || n != len(req) {
					t.Errorf("in steps of %d: %d of %d bytes, %v, as %.200q", step, n, len(req), err, out)
				}
			}
		})
	}
}

func TestMalformedRequestsAreRefused(t *testing.T) {
	for status, requests := range http1test.MalformedRequests() {
		for name, req := range requests {
			t.Run(name, func(t *testing.T) {
				for _, step := range []int{1, 7, 1 << 20} {
					in := []byte(req)
					if strings.HasPrefix(req, "\r\n") {
						in = in[2:] // the relay passes over one empty line
					}
					_, _, err := read(in, step)
					var refusal *RefusalError
					if !errors.As(err, &refusal) || strconv.Itoa(refusal.Status) != status {
						t.Errorf("in steps of %d: %v, want %s", step, err, status)
					}
				}
			})
		}
	}
}
