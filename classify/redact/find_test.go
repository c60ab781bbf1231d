package redact

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/ksyun-tap/ksyun-tap/classify/canary"
	"github.com/ksyun-tap/ksyun-tap/classify/internal/ascii"
	"github.com/ksyun-tap/ksyun-tap/classify/internal/unescape"
)

// pieces are what texts with secrets, or nearly so, are made of.
var pieces = []string{
	"AKLT", "aklt", "AKIA", "eyJ", ".", "=", ":", ": ", "token", "Token", "basic", "Basic ", "bearer ", "KSS ", "aws", " ",
	"&", "&amp;", "%25", "%3D", "%", `\u0041`, `\"`, `\`, `"`, "'", "a", "B3", "x9Y", "-", "_", "/", "+", "0af7651916cd43dd",
	"8448eb211c80319c", "00000000-1111-4222-8333-444444444403", "aB3dE5", "password", "sig", "ak", "@", "host", ">", "<",
	"<Token>", "[", "]", ",", ";", "YTpi", "日", "\xff", "REDACTED", "a:b", "HMAC-", "2026-11-23T08:00:00Z",
}

// assembled returns up to most pieces in a row.
func assembled(r *rand.Rand, most int) string {
	var b strings.Builder
	for range r.IntN(most) {
		b.WriteString(pieces[r.IntN(len(pieces))])
	}
	return b.String()
}

// checkShortcuts checks that what is skipped in order to be quick would have
// found nothing.
func checkShortcuts(t *testing.T, text []byte) {
	t.Helper()
	harmless := isHarmless(text)
	if harmless != isHarmless(string(text)) {
		t.Fatalf("%q: harmless as bytes: %t", text, harmless)
	}
	for _, cut := range []bool{false, true} {
		f := find(text, cut)
		if harmless && len(f.found) > 0 {
			t.Fatalf("%q is harmless, but %q was found", text, f.original(text, f.found[0]))
		}
		f.release()
	}
	if got, want := Target(text), redactSlowly(text); got != want {
		t.Fatalf("target %q\n got %q\nwant %q", text, got, want)
	}
	secret, atEnd := isSecretName(text)
	if s, e := isSecretNameSlowly(text); s != secret || e != atEnd {
		t.Fatalf("name %q: secret %t, at its end %t, want %t and %t", text, secret, atEnd, s, e)
	}
}

// redactSlowly is Target with every value searched.
func redactSlowly(target []byte) string {
	path, query, hasQuery := bytes.Cut(target, []byte{'?'})
	out := hideFound(appendPath(nil, path), false)
	if hasQuery {
		f := newFinder()
		defer f.release()
		shown := f.appendQuery(nil, query, false)
		out = append(append(out, '?'), hideFound(shown, false)...)
	}
	return string(out)
}

// isSecretNameSlowly is isSecretName as it reads.
func isSecretNameSlowly(name []byte) (secret, atEnd bool) {
	if len(name) > maxParamName {
		return true, true
	}
	var plain []byte
	last, parted := 0, false
	for i := 0; i < len(name); {
		c, n := unescape.Byte(name[i:])
		i += n
		if c = ascii.Lower(c); (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			parted = true
			continue
		}
		if parted {
			last, parted = len(plain), false
		}
		plain = append(plain, c)
	}
	for _, n := range []string{"ak", "auth", "pass", "pwd", "session", "sig", "sign", "sk"} {
		if string(plain) == n || string(plain[last:]) == n {
			return true, true
		}
	}
	for _, w := range secretWords {
		secret = secret || bytes.Contains(plain, []byte(w))
		atEnd = atEnd || bytes.HasSuffix(plain, []byte(w))
	}
	return secret, atEnd
}

func TestShortcuts(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	harmless := 0
	for range 10_000 {
		text := []byte(assembled(r, 12))
		if isHarmless(text) {
			harmless++
		}
		checkShortcuts(t, text)
		checkShortcuts(t, []byte("/"+assembled(r, 3)+"?"+assembled(r, 16)))
	}
	for _, secret := range canary.Secrets {
		for _, text := range canary.Encodings(secret) {
			checkShortcuts(t, []byte(text))
			checkShortcuts(t, []byte("/?a="+text+"&b=c"))
		}
	}
	if harmless < 200 {
		t.Errorf("%d texts of 10,000 were harmless, which proves little", harmless)
	}
}

func FuzzShortcuts(f *testing.F) {
	for _, s := range []string{"", "GetMetricStatistics", "a.eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln", "Basic YTpi", "the password: hunter2", "/?a=1&Token=x", "&#116;oken=x"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) { checkShortcuts(t, text) })
}
