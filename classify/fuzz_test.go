package classify

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"

	"github.com/ksyun-tap/ksyun-tap/classify/internal/ascii"
	"github.com/ksyun-tap/ksyun-tap/classify/redact"
	"github.com/ksyun-tap/ksyun-tap/hostname"
	"github.com/ksyun-tap/ksyun-tap/internal/testfile"
)

// checkVerdict holds a verdict against what everyone who gets one relies on.
func checkVerdict(t *testing.T, v *Verdict) {
	t.Helper()
	if failed := v.Outcome.Failed(); failed != (v.Category != "") || failed != (v.Blame != "") || failed != (v.Type != "") {
		t.Errorf("outcome %q with category %q, blame %q, type %q", v.Outcome, v.Category, v.Blame, v.Type)
	}
	if !v.Outcome.Failed() && (v.Message != "" || v.Inner != "" || v.FailedItems != 0 || v.Retryable) {
		t.Errorf("outcome %q with message %q, inner code %q, %d failed items, retryable %t", v.Outcome, v.Message, v.Inner, v.FailedItems, v.Retryable)
	}
	if (v.Entry == nil) != (v.Match == MatchNone) {
		t.Errorf("match %q with entry %v", v.Match, v.Entry)
	}
	for what, s := range map[string]string{"message": v.Message, "code": v.Code, "inner code": v.Inner} {
		bound := maxCode
		if what == "message" {
			bound = maxMessage
		}
		if len(s) > bound || !utf8.ValidString(s) || s != strings.TrimSpace(s) || strings.ContainsFunc(s, IsControl) {
			t.Errorf("%s is not clean: %q", what, s)
		}
	}
}

func FuzzResponse(f *testing.F) {
	files, err := os.ReadDir(filepath.Join("testdata", "samples"))
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		b := sample(f, file.Name())
		f.Add(400, b, "", false)
		f.Add(200, b, "", true)
	}
	f.Add(500, gzipped(f, sample(f, "gateway-error.json")), "gzip", false)
	for _, body := range hostile(300) {
		f.Add(200, body, "", true)
	}
	c := New(DefaultCatalog())
	f.Fuzz(func(t *testing.T, status int, body []byte, coding string, dryRun bool) {
		if status < 100 || status > 999 {
			status = 200 + 100*(status&3)
		}
		body = bytes.Clone(body)
		r := &Response{Status: status, Header: fields{"Content-Encoding": coding}, Body: body}
		v := c.Response(&Call{DryRun: dryRun}, r)
		checkVerdict(t, &v)
		if again := c.Response(&Call{DryRun: dryRun}, r); again != v {
			t.Errorf("read twice: %+v and %+v", v, again)
		}
		if coding == "" {
			checkReference(t, body)
		}
		kept := v
		kept.Message, kept.Code, kept.Inner = strings.Clone(v.Message), strings.Clone(v.Code), strings.Clone(v.Inner)
		clear(body)
		if kept != v {
			t.Errorf("the verdict changed with the buffer: %+v, was %+v", v, kept)
		}
	})
}

func FuzzRequest(f *testing.F) {
	f.Add("GET", "/?Action=ListMetrics&Version=2010-05-25&Timestamp=2026-11-23T15%3A02%3A57Z&Accesskey=AK&Signature=s", "monitor.api.ksyun.com", "", "", "")
	f.Add("POST", "/", "monitor.cn-beijing-6.api.ksyun.com:80", sigv4, "Action=AddAlarmReceives&Version=2021-01-01&DryRun=1", "application/x-www-form-urlencoded")
	f.Add("POST", "http://u:p@internal.api.ksyun.com/?X-Amz-Credential=AK%2F1%2Fcn-north-1%2Fiam%2Faws4_request&X-Amz-Date=20261123T150257+00:00", "", "", `{"Action":"A","Version":"V1","DryRun":true}`, "application/json")
	f.Add("PUT", "/?%41ction=%zz&=&&;;", "[::1]:1", "AWS4-HMAC-SHA256 Credential=", "x", "multipart/form-data")
	c := New(DefaultCatalog())
	f.Fuzz(func(t *testing.T, method, target, host, authorization, body, contentType string) {
		header := fields{"Authorization": authorization, "Content-Type": contentType, "X-Amz-Date": body, "X-Action": contentType, "Date": host}
		r := &Request{Method: method, Target: []byte(target), Host: []byte(host), Header: header, Body: []byte(body)}
		call, secrets := c.Request(r)
		for what, s := range map[string]string{"service": call.Service, "action": call.Action, "version": call.Version, "region": call.Region} {
			if s != "" && !isName([]byte(s)) {
				t.Errorf("%s is no name: %q", what, s)
			}
		}
		if call.Service != ascii.ToLower(call.Service) || call.Region != ascii.ToLower(call.Region) || call.Host != ascii.ToLower(call.Host) {
			t.Errorf("not in lower case: %+v", call)
		}
		if strings.ContainsAny(call.Host, " \r\n\t/@?%\"") || len(call.Host) > hostname.MaxLength {
			t.Errorf("host %q", call.Host)
		}
		for _, s := range [][]byte{secrets.AccessKey, secrets.Signature, secrets.Token} {
			if s != nil && !strings.Contains(target+"\n"+authorization+"\n"+body, string(s)) {
				t.Errorf("secret %q is not a part of the request", s)
			}
		}
		if again, _ := c.Request(r); again != call {
			t.Errorf("the words are known now: %+v, was %+v", again, call)
		}
		kept := call
		for _, s := range []*string{&kept.Service, &kept.Action, &kept.Version, &kept.Region, &kept.Host} {
			*s = strings.Clone(*s)
		}
		clear(r.Target)
		clear(r.Host)
		clear(r.Body)
		if call != kept {
			t.Errorf("the call changed with the buffers: %+v, was %+v", call, kept)
		}
	})
}

func FuzzReadQuery(f *testing.F) {
	const interval = "StartTime=2026-03-18T05%3A00%3A00Z&EndTime=1773817200&Period=60"
	f.Add("/?"+interval+"&InstanceID=i&MetricName=m&PageIndex=2&PageSize=10", "")
	f.Add("/", interval)
	f.Add("/?"+interval, `{"Metrics":[{"InstanceID":"i","Period":"300"},"x",{"End":1}],"StartTime":"2026-03-18T05:00:00Z"`)
	f.Add("/?Period=60", `{"Metrics":[{"Period":600},{"Period":"300","Dimensions":[{"Period":1}]},{"Period":null}]}`)
	f.Fuzz(func(t *testing.T, target, body string) {
		q := ReadQuery([]byte(target), []byte(body))
		if again := ReadQuery([]byte(target), []byte(body)); again.Key != q.Key {
			t.Error("another key")
		}
		if s := q.Size(); s.Metrics < 0 || s.Metrics > len(body) || s.Records < 0 || s.Records > maxRecords {
			t.Errorf("%+v", s)
		}
		if page, size := q.Page(); page < 0 || size < 0 || q.Period() < 0 {
			t.Errorf("page %d of %d, period %v", page, size, q.Period())
		}
		if name := q.Name(); !utf8.ValidString(name) || strings.ContainsFunc(name, IsControl) {
			t.Errorf("name %q", name)
		}
	})
}

func FuzzCatalog(f *testing.F) {
	f.Add([]byte(userCatalog))
	bad, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range bad {
		b := testfile.Read(f, file)
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		cat, err := DefaultCatalog().Extend("x.yaml", data)
		if err != nil {
			s := err.Error()
			if cat != nil || !strings.HasPrefix(s, "x.yaml:") || !strings.Contains(s, ": ") || strings.Contains(s, "\n") {
				t.Errorf("error %q beside %v", s, cat)
			}
			return
		}
		for _, e := range cat.Entries() {
			if e.Code == "" || e.DryRun != (e.Category == "") {
				t.Errorf("entry %+v", e)
			}
			if got, ok := cat.Lookup(e.Code); !ok || ascii.ToLower(got.Code) != ascii.ToLower(e.Code) {
				t.Errorf("Lookup(%q) = %v", e.Code, got)
			}
		}
		v := New(cat).Response(nil, &Response{Status: 400, Body: data})
		checkVerdict(t, &v)
	})
}

func FuzzInflate(f *testing.F) {
	text := metricsJSON(2 << 10)
	f.Add(gzipped(f, text), "")
	f.Add(gzipped(f, bytes.Repeat([]byte{'a'}, 200<<10)), "gzip")
	f.Add(gzipped(f, gzipped(f, text)), "gzip, gzip")
	f.Add(deflatedRaw(f, text), "deflate")
	f.Add(deflatedZlib(f, text), "deflate")
	f.Add([]byte("\x1f\x8b\x08\x1e\x00\x00\x00\x00\x00\x00\xff\xffx"), "gzip")
	f.Add([]byte("{}"), "br")
	f.Add(brotlied(f, text), "br")
	f.Add(zstded(f, text), "zstd")
	f.Add(append(gzipped(f, text), gzipped(f, text)...), "gzip")
	f.Fuzz(func(t *testing.T, body []byte, coding string) {
		p, d := decode(body, nil, fields{"Content-Encoding": coding}, false)
		if len(p.body) > max(maxInflated, len(body)) {
			t.Errorf("%d bytes of %d", len(p.body), len(body))
		}
		// What compress/gzip can read, we can.
		if z, err := gzip.NewReader(bytes.NewReader(body)); err == nil {
			const limit = 1 << 20
			want, err := io.ReadAll(io.LimitReader(z, limit))
			whole := err == nil && 0 < len(want) && len(want) < limit
			want = want[:min(len(want), maxInflated)]
			if whole && codingOf(want, nil) == codingNone && !bytes.Equal(p.body, want) {
				t.Errorf("decompressed to %d bytes (%s), compress/gzip has %d, of %x", len(p.body), p.unread, len(want), body)
			}
		}
		d.release()
	})
}

// brotlied returns b in Brotli.
func brotlied(t testing.TB, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	return closed(t, &out, brotli.NewWriter(&out), b)
}

// zstded returns b in Zstandard.
func zstded(t testing.TB, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := zstd.NewWriter(&out)
	if err != nil {
		t.Fatal(err)
	}
	return closed(t, &out, w, b)
}

// closed writes b to w and returns what came to out.
func closed(t testing.TB, out *bytes.Buffer, w io.WriteCloser, b []byte) []byte {
	t.Helper()
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func deflatedRaw(t testing.TB, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := flate.NewWriter(&out, flate.DefaultCompression)
	if err != nil {
		t.Fatal(err)
	}
	return closed(t, &out, w, b)
}

func deflatedZlib(t testing.TB, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	return closed(t, &out, zlib.NewWriter(&out), b)
}

const secretText = "cAnArY/7+wQ=9z"

// FuzzScrub checks that nothing hides a credential of the request in a verdict.
func FuzzScrub(f *testing.F) {
	f.Add("/?a=1", `{"password":"x"}`, "code ", " end")
	f.Add("/a;token=b?c=https://u:p@h", "a=b&token=%2525&&quot;", `\u00`, "%41")
	f.Add("/", "--b\r\nContent-Disposition: form-data; name=\"sk\"\r\n\r\nx\r\n--b", "AKLT", "eyJhbGciOi.x.y")
	f.Fuzz(func(t *testing.T, target, body, before, after string) {
		if strings.Contains(before+after, "cAnArY") {
			return
		}
		r := &Request{Target: []byte(target), Header: fields{"Authorization": "Bearer " + secretText}, Body: []byte(body)}
		v := Verdict{Message: before + secretText + after, Code: secretText + after, RequestID: MakeRequestID(before + secretText)}
		v.Scrub(r, Secrets{})
		for _, text := range []string{v.Message, v.Code, v.RequestID.String()} {
			if strings.Contains(strings.ToLower(text), "canary") {
				t.Errorf("%q", text)
			}
		}
		redact.Text(target)
		redact.Target([]byte(target))
	})
}
