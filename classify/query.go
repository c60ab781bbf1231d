package classify

import (
	"bytes"
	"hash/maphash"
	"time"
	"unicode/utf8"

	"github.com/ksyun-tap/ksyun-tap/classify/internal/ascii"
	"github.com/ksyun-tap/ksyun-tap/classify/internal/unescape"
	"github.com/ksyun-tap/ksyun-tap/classify/signature"
	"github.com/ksyun-tap/ksyun-tap/classify/syntax"
)

// Query is what a call for data or for a page of a list asks for. The slices alias
// the request and are as written there.
type Query struct {
	// Key identifies the query within this process: what is asked for, without the
	// interval, the page and the signature.
	Key uint64

	instance, metric param
	start, end       param
	period           param
	page, size       param
	metrics          param // the list of a batch; JSON
	cut              bool  // the body is longer than MaxReadQuery
}

// MaxReadQuery is the maximum number of bytes of a target and of a body that
// ReadQuery reads.
const MaxReadQuery = 64 << 10

var querySeed = maphash.MakeSeed()

// ReadQuery returns the query of a request, given by its target in origin form and
// by the beginning of its body.
func ReadQuery(target, body []byte) Query {
	q := Query{cut: len(body) > MaxReadQuery}
	_, query := syntax.SplitTarget(target[:min(len(target), MaxReadQuery)])
	q.form(query)
	body = bytes.TrimPrefix(body[:min(len(body), MaxReadQuery)], byteOrderMark)
	start := skipSpace(body, 0)
	switch {
	case start == len(body):
	case body[start] == '{':
		q.json(body[start:])
	case isForm(nil, body):
		q.form(bytes.TrimRight(body[start:], "\r\n"))
	}
	return q
}

// form reads a query string or a form.
func (q *Query) form(s []byte) {
	var buf [longestParam]byte
	for len(s) > 0 {
		var name, value []byte
		name, value, s = syntax.CutPair(s)
		if len(s) > 0 {
			s = s[1:] // what parts the pairs
		}
		if bytes.IndexByte(name, '%') >= 0 && len(name) <= 3*longestParam {
			name = unescape.AppendURL(buf[:0], name)
		}
		q.take(name, param{raw: value, enc: encodedURL})
	}
}

// json reads the top level of a JSON body.
func (q *Query) json(b []byte) {
	s := scanner{b: b}
	if !s.enter('{') {
		return
	}
	var buf [maxKey]byte
	for key, ok := s.key(&buf); ok; key, ok = s.key(&buf) {
		switch s.peek() {
		case '{', '[':
			start := s.i
			s.skip()
			q.take(key, param{raw: b[start:s.i]})
			continue
		}
		q.take(key, s.scalar().param())
	}
}

// take stores the value of a parameter, or else makes it a part of the key.
func (q *Query) take(name []byte, p param) {
	own := q.timing(name)
	keyed := own == nil || own == &q.period
	switch {
	case own != nil:
	case ascii.EqualFold(name, "instanceid"):
		own = &q.instance
	case ascii.EqualFold(name, "metricname"):
		own = &q.metric
	case ascii.EqualFold(name, "metrics"):
		own = &q.metrics
	case ascii.EqualFold(name, "pageindex"), ascii.EqualFold(name, "pagenumber"):
		own, keyed = &q.page, false
	case ascii.EqualFold(name, "pagesize"), ascii.EqualFold(name, "maxresults"):
		own, keyed = &q.size, false
	default:
		keyed = !signature.IsParam(name)
	}
	if own != nil {
		own.offer(p.raw, p.enc)
	}
	if keyed {
		// A sum, so that the order of parameters does not matter.
		q.Key += maphash.Bytes(querySeed, name)*31 + maphash.Bytes(querySeed, p.raw)
	}
}

// Interval returns the interval that is asked for. Times that are absent or that
// cannot be read are zero.
func (q *Query) Interval() (start, end time.Time) { return q.start.time(), q.end.time() }

// time returns the time in the parameter.
func (p *param) time() time.Time {
	var buf [maxDate]byte
	return readTime(bytes.TrimSpace(p.append(buf[:0])))
}

// Page returns the number of the page, from 1, and its size. Either is 0 if it is
// not given.
func (q *Query) Page() (page, size int) { return q.page.number(), q.size.number() }

// seconds returns the number of seconds in the parameter, or 0.
func (p *param) seconds() time.Duration { return time.Duration(p.number()) * time.Second }

// number returns the number in the parameter, or 0.
func (p *param) number() int {
	var buf [16]byte
	b := bytes.TrimSpace(p.append(buf[:0]))
	if !isNumber(b) || len(b) > 9 {
		return 0
	}
	return number10(b)
}

// Name returns the instance and the metric that are asked for, for output: secrets
// are redacted. It is "" if neither is given.
func (q *Query) Name() string {
	return itemName(q.instance.text(), q.metric.text())
}

// text returns the plain value, or "" if it is longer than a name may be.
func (p *param) text() string {
	var buf [maxItemName]byte
	b := p.append(buf[:0])
	if !utf8.Valid(b) || bytes.ContainsFunc(b, IsControl) {
		return ""
	}
	return string(b)
}
