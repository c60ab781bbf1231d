package classify

import (
	"bytes"
	"compress/gzip"
	"testing"
)

// TestUnread reads responses of which a part cannot be read, and responses that
// have nothing more to say.
func TestUnread(t *testing.T) {
	c := New(DefaultCatalog())
	long := metricsJSON(300 << 10)
	noise := bytes.Repeat([]byte{0, 1, 0xfe, 0x80}, 20)
	f := func(name string, want Unread, outcome Outcome, r Response) {
		t.Helper()
		r.Status = 200
		v := c.Response(nil, &r)
		if v.Unread != want || v.Outcome != outcome {
			t.Errorf("%s: %q, %s; want %q, %s", name, v.Unread, v.Outcome, want, outcome)
		}
	}
	begin, tail := split(long)
	f("whole", UnreadNone, OutcomeSuccess, Response{Body: long})
	f("begin and tail", UnreadLength, OutcomeSuccess, Response{Body: begin, Tail: tail, Truncated: true})
	f("begin alone", UnreadLength, OutcomeSuccess, Response{Body: begin, Truncated: true})
	f("whole object, not read to its end", UnreadNone, OutcomeSuccess, Response{Body: []byte(`{"a":1}`), Truncated: true})
	f("whole element, not read to its end", UnreadLength, OutcomeSuccess, Response{Body: []byte(`<R><A>1</A></R>`), Truncated: true})

	for coding, pack := range map[string]func(testing.TB, []byte) []byte{
		"gzip": gzipped, "br": brotlied, "zstd": zstded, "deflate": deflatedZlib,
	} {
		h := fields{"Content-Encoding": coding}
		short := pack(t, metricsJSON(4<<10))
		f(coding, UnreadNone, OutcomeSuccess, Response{Header: h, Body: short})
		f(coding+", long", UnreadLength, OutcomeSuccess, Response{Header: h, Body: pack(t, long)})
		f(coding+", at the bound", UnreadNone, OutcomeSuccess, Response{Header: h, Body: pack(t, bytes.Repeat([]byte{' '}, maxInflated+TailBytes))})
		f(coding+", cut by the collector", UnreadLength, OutcomeSuccess, Response{Header: h, Body: short[:len(short)/2], Truncated: true})
		f(coding+", broken off", UnreadCoding, OutcomeSuccess, Response{Header: h, Body: short[:len(short)/2]})
		f(coding+" that is none", UnreadCoding, OutcomeSuccess, Response{Header: h, Body: noise})
		f(coding+" of nothing", UnreadNone, OutcomeSuccess, Response{Header: h, Body: pack(t, nil)})
		twice := pack(t, pack(t, []byte(`{"Error":{"Code":"InternalError"}}`)))
		f(coding+" twice", UnreadNone, OutcomeMasked, Response{Header: fields{"Content-Encoding": coding + ", " + coding}, Body: twice})
		thrice := pack(t, twice)
		f(coding+" three times", UnreadCoding, OutcomeSuccess, Response{Header: fields{"Content-Encoding": coding + "," + coding + "," + coding}, Body: thrice})
		bomb := pack(t, append(bytes.Repeat([]byte{' '}, maxInflated+maxInflatedTail), `{"Error":{"Code":"X"}}`...))
		f(coding+", longer than the bound", UnreadLength, OutcomeSuccess, Response{Header: h, Body: bomb})
	}
}

// TestDecoderStaysClean reads a broken body before each good one: what is kept
// of a decoder must not show.
func TestDecoderStaysClean(t *testing.T) {
	c := New(DefaultCatalog())
	body := []byte(`{"Error":{"Code":"InternalError"}}`)
	for coding, pack := range map[string]func(testing.TB, []byte) []byte{
		"gzip": gzipped, "br": brotlied, "zstd": zstded, "deflate": deflatedRaw,
	} {
		h := fields{"Content-Encoding": coding}
		good := pack(t, body)
		for n := range good {
			bad := bytes.Clone(good)
			bad[n] ^= 0x55
			c.Response(nil, &Response{Status: 500, Header: h, Body: bad})
			if v := c.Response(nil, &Response{Status: 500, Header: h, Body: good}); v.Code != "InternalError" || v.Unread != UnreadNone {
				t.Fatalf("%s behind one with byte %d changed: %+v", coding, n, v)
			}
		}
	}
}

// TestMembers puts each byte of a response into a gzip member of its own.
func TestMembers(t *testing.T) {
	var b bytes.Buffer
	for _, c := range []byte(`{"Error":{"Code":"InternalError"}}`) {
		z := gzip.NewWriter(&b)
		if _, err := z.Write([]byte{c}); err != nil {
			t.Fatal(err)
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
	}
	v := New(DefaultCatalog()).Response(nil, &Response{Status: 200, Body: b.Bytes()})
	if v.Code != "InternalError" || v.Outcome != OutcomeMasked || v.Unread != UnreadNone {
		t.Errorf("%+v", v)
	}
}
