package classify

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/unicode"
)

// encoded returns s in an encoding of golang.org/x/text.
func encoded(t testing.TB, e interface{ Bytes([]byte) ([]byte, error) }, s string) []byte {
	t.Helper()
	b, err := e.Bytes([]byte(s))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestCharsetAtEveryCut cuts a response in GBK and UTF-16, with 0x5C as the
// second byte of characters, at every byte: nothing may come out that the whole
// does not say.
func TestCharsetAtEveryCut(t *testing.T) {
	const doc = `{"Error":{"Message":"誠誠\\誠 a","Code":"LimitExceeded"},"RequestId":"the-id"}`
	c := New(DefaultCatalog())
	for name, body := range map[string][]byte{
		"GBK":       encoded(t, simplifiedchinese.GBK.NewEncoder(), doc),
		"UTF-16 LE": encoded(t, unicode.UTF16(unicode.LittleEndian, unicode.UseBOM).NewEncoder(), doc),
		"UTF-16 BE": encoded(t, unicode.UTF16(unicode.BigEndian, unicode.IgnoreBOM).NewEncoder(), doc),
	} {
		whole := c.Response(nil, &Response{Status: 409, Body: body})
		if whole.Code != "LimitExceeded" || whole.Message != `誠誠\誠 a` || whole.RequestID.String() != "the-id" || whole.Unread != UnreadNone {
			t.Errorf("%s: %+v", name, whole)
		}
		for n := range body {
			v := c.Response(nil, &Response{Status: 409, Body: body[:n], Truncated: true})
			checkVerdict(t, &v)
			if v.Code != "" && v.Code != whole.Code || !v.RequestID.IsZero() && v.RequestID != whole.RequestID || v.Unread != UnreadLength {
				t.Fatalf("%s cut at %d: %+v", name, n, v)
			}
			if !strings.HasPrefix(whole.Message, v.Message) && !strings.ContainsRune(v.Message, utf8.RuneError) {
				t.Fatalf("%s cut at %d: message %q", name, n, v.Message)
			}
		}
	}
}

// TestCharsetOfTail reads what stands behind data that is longer than what is
// kept.
func TestCharsetOfTail(t *testing.T) {
	doc := `{"data":[{"name":"` + strings.Repeat("誠告", 20_000) + `"}],"errorMessage":["誠","b"],"requestId":"the-id"}`
	c := New(DefaultCatalog())
	for pad := range 4 {
		doc := strings.Repeat(" ", pad) + doc
		for name, body := range map[string][]byte{
			"GBK":       encoded(t, simplifiedchinese.GBK.NewEncoder(), doc),
			"UTF-16 LE": encoded(t, unicode.UTF16(unicode.LittleEndian, unicode.UseBOM).NewEncoder(), doc),
			"UTF-16 BE": encoded(t, unicode.UTF16(unicode.BigEndian, unicode.IgnoreBOM).NewEncoder(), doc),
		} {
			begin, tail := split(body)
			v := c.Response(nil, &Response{Status: 200, Header: fields{"Content-Type": "application/json"}, Body: begin, Tail: tail, Truncated: true})
			if v.Outcome != OutcomePartial || v.FailedItems != 2 || v.Message != "誠" || v.RequestID.String() != "the-id" || v.Unread != UnreadLength {
				t.Errorf("%s behind %d blanks: %+v", name, pad, v)
			}
		}
	}
}

func TestParameter(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{`text/xml; charset=GBK`, "GBK"},
		{`text/xml;Charset = GBK`, ""},
		{`text/xml;x=1;CHARSET="gb2312" ; y=2`, "gb2312"},
		{`text/xml; x-charset=a; charset=b`, "b"},
		{`charset=`, ""},
		{`charset`, ""},
		{``, ""},
	} {
		if got := parameter([]byte(tt.text), "charset"); string(got) != tt.want {
			t.Errorf("%q: %q, want %q", tt.text, got, tt.want)
		}
	}
}

func FuzzCharset(f *testing.F) {
	doc := `{"Error":{"Message":"誠","Code":"LimitExceeded"},"RequestId":"the-id"}`
	f.Add(encoded(f, simplifiedchinese.GBK.NewEncoder(), doc), []byte(nil), "application/json;charset=GBK")
	f.Add(encoded(f, unicode.UTF16(unicode.LittleEndian, unicode.UseBOM).NewEncoder(), doc), []byte("}\x00"), "")
	f.Add([]byte("\x00{\x00\"\xd8\x00"), []byte("\x00}"), "x; charset=utf-16")
	f.Add([]byte("<?xml encoding='gbk'?><a>\x95\\"), []byte("\x81"), "text/xml")
	c := New(DefaultCatalog())
	f.Fuzz(func(t *testing.T, body, tail []byte, contentType string) {
		r := &Response{Status: 400, Header: fields{"Content-Type": contentType}, Body: body, Tail: tail, Truncated: tail != nil}
		before := fmt.Sprintf("%x %x", body, tail)
		v := c.Response(nil, r)
		checkVerdict(t, &v)
		if fmt.Sprintf("%x %x", body, tail) != before {
			t.Error("the body was changed")
		}
		p := plainBody{body: body, tail: tail}
		var d *decoder
		if p.utf8(&d, []byte(contentType)) && len(p.body) > 3*len(body) {
			t.Errorf("%d bytes of %d", len(p.body), len(body))
		}
		if bytes.IndexByte(body, 0) < 0 && utf8.Valid(body) && v.Unread == UnreadCharset {
			t.Errorf("UTF-8 is not read: %q", body)
		}
		d.release()
	})
}
