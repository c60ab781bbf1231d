package classify

import (
	"bytes"

	"github.com/ksyun-tap/ksyun-tap/classify/redact"
)

// Scrub replaces every secret of the request r, and everything that looks like a
// secret, with REDACTED in the code, the inner code and the message of v. A request
// ID that contains a secret is removed. r may be nil. known lists additional
// secrets.
//
// A code or message that is in the catalogue, and an ID that is a UUID, are not
// secrets. If there is nothing else, as in most responses, r is not read and nothing
// is allocated.
func (v *Verdict) Scrub(r *Request, known ...Secrets) {
	code := v.Code != "" && v.Match != MatchCode
	message := v.Message != "" && (v.Entry == nil || v.Message != v.Entry.Example)
	id := !v.RequestID.IsZero() && !v.RequestID.uuid
	if !code && !message && !id && v.Inner == "" {
		return
	}
	s := redact.NewSet()
	defer s.Release()
	redact.LookIn(s, v.Code)
	redact.LookIn(s, v.Inner)
	redact.LookIn(s, v.Message)
	redact.LookIn(s, v.RequestID.b[:v.RequestID.n])
	addSecrets(s, r, known)
	if code {
		v.Code = s.RedactCode(v.Code)
	}
	v.Inner = s.RedactCode(v.Inner)
	if message {
		v.Message = s.Redact(v.Message)
	}
	if id && s.IsIn(v.RequestID.b[:v.RequestID.n]) {
		v.RequestID = RequestID{}
	}
}

// SecretsOf returns the secrets of r, wherever they are in it, and the known ones. r
// may be nil. The caller must release the set.
func SecretsOf(r *Request, known ...Secrets) *redact.Set {
	s := redact.NewSet()
	addSecrets(s, r, known)
	return s
}

// addSecrets adds the secrets of r and the known ones.
func addSecrets(s *redact.Set, r *Request, known []Secrets) {
	for _, k := range known {
		s.Add(k.AccessKey)
		s.Add(k.Signature)
		s.Add(k.Token)
	}
	if r == nil {
		return
	}
	s.AddTarget(r.Target)
	if r.Header != nil {
		for name, value := range r.Header.Fields() {
			s.AddField(name, value)
		}
	}
	if len(r.Body) == 0 || s.IsApart(r.Body) {
		return
	}
	if isForm(get(r.Header, headerContentType), r.Body) {
		s.AddForm(bytes.TrimRight(r.Body, "\r\n"))
	}
	eachPart(bytes.TrimPrefix(r.Body, byteOrderMark), s.AddParameter)
	s.AddText(r.Body)
}
