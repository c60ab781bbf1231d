package main

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ksyun-tap/ksyun-tap/internal/testfile"
)

func TestDoctor(t *testing.T) {
	const dir = "../../internal/savedhttp/testdata/"
	get := testfile.Read(t, dir+"get.txt")
	body := filepath.Join(t.TempDir(), "body")
	testfile.Write(t, body, "{}\n", 0o600)
	f := func(name, in string, args []string, first string, more ...string) {
		t.Helper()
		code, out, errOut := command(t, in, append([]string{"doctor"}, args...)...)
		if code != exitOK || !strings.HasPrefix(out, "1. ") || !strings.Contains(strings.SplitN(out, "\n", 2)[0], "("+first+", ") {
			t.Errorf("%s: exit %d, %s%s", name, code, out, errOut)
		}
		for _, m := range more {
			if !strings.Contains(out, m) {
				t.Errorf("%s: no %q in %s", name, m, out)
			}
		}
		if strings.Contains(out, "AKLTexample") || strings.Contains(out, "494902467a2b") {
			t.Errorf("%s: a secret in %s", name, out)
		}
	}
	f("what curl printed", "", []string{dir + "get.txt"}, "secret_wrong", "37 of 37", "accept, host, x-amz-date", "The clock is not the cause")
	f("in Chinese", "", []string{"--language=zh", dir + "proxied.txt"}, "secret_wrong", "与时钟无关", "很可能")
	f("standard input", strings.Replace(string(get), "/monitor/", "/kec/", 1), nil, "scope_service", "Sign for monitor")
	f("an old one", strings.Replace(string(get), "X-Amz-Date: 20261125T231041Z", "X-Amz-Date: 20261125T225041Z", 1), nil, "clock_skew", "-20m0s")
	raw := "POST /?Action=a HTTP/1.1\nHost: monitor.api.ksyun.com\nX-Amz-Date: 20261125T231041Z\nX-Amz-Content-Sha256: " +
		strings.Repeat("0", 64) + "\nContent-Length: 4\nAuthorization: AWS4-HMAC-SHA256 Credential=AKLTexampleExample00/20261125/cn-beijing-6/monitor/aws4_request, " +
		"SignedHeaders=host;x-amz-content-sha256;x-amz-date, Signature=" + strings.Repeat("a", 64) + "\n\n"
	f("its body in the same file", raw+"body", nil, "payload_hash", "4 bytes")
	f("its body missing", raw, nil, "secret_wrong")
	f("its body in another file", raw, []string{"--body", body}, "payload_hash", "3 bytes")

	code, out, _ := command(t, "", "doctor", "--output=json", dir+"get.txt")
	var d struct {
		Cause, Certainty, Blame string
		Advice                  struct{ Retry string }
	}
	if err := json.Unmarshal([]byte(strings.SplitN(out, "\n", 2)[0]), &d); code != exitOK || err != nil || d.Cause != "secret_wrong" || d.Blame != "credential" || d.Advice.Retry != "never" {
		t.Errorf("JSON: exit %d, %v, %s", code, err, out)
	}
	for _, in := range []string{"", "HTTP/1.1 200 OK\n\n{}"} {
		if code, _, errOut := command(t, in, "doctor"); code != exitUsage || !strings.Contains(errOut, "no HTTP/1 request") {
			t.Errorf("%q: exit %d, %s", in, code, errOut)
		}
	}
}
