package classify

import (
	"bytes"
	"time"

	"github.com/ksyun-tap/ksyun-tap/classify/internal/ascii"
	"github.com/ksyun-tap/ksyun-tap/classify/internal/timestamp"
	"github.com/ksyun-tap/ksyun-tap/classify/syntax"
)

// signing returns how the request was signed.
func (q *wanted) signing() Signing {
	switch {
	case q.authSignature != nil || q.scope != nil:
		return SigningSigV4
	case q.credential.raw != nil || q.algorithm.raw != nil:
		return SigningPresigned
	case q.signature.raw != nil:
		return SigningSimple
	}
	return SigningNone
}

// authorize reads an Authorization field of the form
// "AWS4-HMAC-SHA256 Credential=..., SignedHeaders=..., Signature=...". Other
// schemes are ignored.
func (q *wanted) authorize(field []byte) {
	scheme, list := syntax.CutScheme(field)
	if !bytes.Contains(scheme, []byte("HMAC-")) {
		return
	}
	for len(list) > 0 {
		var name, value []byte
		name, value, list = syntax.CutParameter(list)
		switch {
		case len(value) == 0:
		case ascii.EqualFold(name, "credential"):
			q.authKey, q.scope = syntax.SplitCredential(value)
		case ascii.EqualFold(name, "signature"):
			q.authSignature = value
		}
	}
}

// maxDate is the maximum length of a date.
const maxDate = 48

// signedAt returns the signing time of the request, from X-Amz-Date, Timestamp or
// Date, in this order.
func (q *wanted) signedAt() time.Time {
	var buf [maxDate]byte
	for _, p := range []*param{&q.date, &q.timestamp} {
		if p.raw == nil {
			continue
		}
		if t, ok := timestamp.Parse(bytes.TrimSpace(p.append(buf[:0]))); ok {
			return t
		}
	}
	if len(q.httpDate) == 0 || len(q.httpDate) > maxDate {
		return time.Time{}
	}
	// The three forms of RFC 9110.
	for _, layout := range []string{"Mon, 02 Jan 2006 15:04:05 GMT", time.RFC850, time.ANSIC} {
		if t, err := time.Parse(layout, string(q.httpDate)); err == nil {
			return t.UTC()
		}
	}
	return time.Time{}
}
