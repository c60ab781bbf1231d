package redact

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// parted is a request: a target, fields and a body.
type parted struct {
	target, body string
	fields       [][2]string
}

// addTo adds the secrets of the request to s.
func (p *parted) addTo(s *Set) {
	s.AddTarget([]byte(p.target))
	for _, f := range p.fields {
		s.AddField([]byte(f[0]), []byte(f[1]))
	}
	if body := []byte(p.body); !s.IsApart(body) {
		s.AddForm(body)
		s.AddText(body)
	}
}

// checkLookIn checks that the announced texts become the same as they would if all secrets
// were looked for. It returns how many secrets were left out, and whether any was found.
func checkLookIn(t *testing.T, p *parted, texts ...string) (left int, found bool) {
	t.Helper()
	all, some := NewSet(), NewSet()
	defer all.Release()
	defer some.Release()
	for _, text := range texts {
		LookIn(some, text)
	}
	p.addTo(all)
	p.addTo(some)
	if len(all.needles) == maxNeedles {
		return 0, false // of more secrets, those that are kept differ
	}
	for _, text := range texts {
		want := all.Redact(text)
		if got := some.Redact(text); got != want {
			t.Fatalf("%q of %+v\n got %q\nwant %q", text, p, got, want)
		}
		in := all.IsIn([]byte(text))
		if some.IsIn([]byte(text)) != in {
			t.Fatalf("%q of %+v: has a secret: %t, want %t", text, p, !in, in)
		}
		found = found || in
	}
	return len(all.needles) - len(some.needles), found
}

// TestLookIn has texts quote random requests, or parts of their secrets, or not.
func TestLookIn(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	names := []string{"Authorization", "Proxy-Authorization", "Cookie", "X-Token", "X-Amz-Date", "User-Agent"}
	// quote returns a part of a text, as it is or in another notation.
	quote := func(text string) string {
		if text == "" {
			return ""
		}
		start := r.IntN(len(text))
		text = text[start : start+r.IntN(len(text)-start+1)]
		switch r.IntN(4) {
		case 0:
			return strings.ToUpper(text)
		case 1:
			return strings.ReplaceAll(text, "+", " ")
		}
		return text
	}
	left, found := 0, 0
	for range 20_000 {
		p := &parted{target: "/" + assembled(r, 3) + "?" + assembled(r, 12), body: assembled(r, 12)}
		for range r.IntN(4) {
			p.fields = append(p.fields, [2]string{names[r.IntN(len(names))], assembled(r, 10)})
		}
		of := []string{p.target, p.body, assembled(r, 3)}
		for _, f := range p.fields {
			of = append(of, f[1])
		}
		texts := []string{"", "no", "the " + quote(of[r.IntN(len(of))]) + " is wrong", quote(of[r.IntN(len(of))])}
		n, some := checkLookIn(t, p, texts[r.IntN(len(texts)):]...)
		left += n
		if some {
			found++
		}
	}
	if left < 1000 || found < 300 {
		t.Errorf("%d secrets were left out, %d texts had one, which proves little", left, found)
	}
}

func FuzzLookIn(f *testing.F) {
	f.Add("/?Token=abcdefgh", "Authorization", "Basic YTpwYXNzd29yZA==", "", "the password, or abcdefgh", "E")
	f.Add("/", "Cookie", "session=0af7651916cd43dd", `{"Token":["abcd","efgh"]}`, "0AF7651916", "efgh")
	f.Add("/?Token=%61bcdefgh", "X-Token", "a+b c", "Token=a%26b;c", "a b c", "ab%63defgh")
	f.Fuzz(func(t *testing.T, target, name, value, body, text, other string) {
		checkLookIn(t, &parted{target, body, [][2]string{{name, value}}}, text, other)
	})
}

// TestLookInAgain uses a set again, which must know nothing of its former texts.
func TestLookInAgain(t *testing.T) {
	var s Set
	for _, text := range []string{"the secret abcd", `100%`, "x"} {
		LookIn(&s, text)
		s.within.forget()
		for _, word := range s.within.grams {
			if word != 0 {
				t.Fatalf("%q left traces", text)
			}
		}
		if s.within.isLimited() || len(s.within.texts) > 0 || slices.ContainsFunc(s.within.texts[:cap(s.within.texts)], func(b byte) bool { return b != 0 }) {
			t.Errorf("%q is still known", text)
		}
	}
}
