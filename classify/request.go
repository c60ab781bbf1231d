package classify

import (
	"bytes"

	"github.com/ksyun-tap/ksyun-tap/classify/internal/ascii"
	"github.com/ksyun-tap/ksyun-tap/classify/syntax"
)

// The fields of a request that are read.
const (
	headerAuthorization = "Authorization"
	headerContentType   = "Content-Type"
	headerContentLength = "Content-Length"
	headerHost          = "Host"
	headerAction        = "X-Action"
	headerVersion       = "X-Version"
	headerTarget        = "X-Amz-Target"
	headerAmzDate       = "X-Amz-Date"
	headerDate          = "Date"
	headerKscToken      = "X-Ksc-Security-Token" //nolint:gosec // a name
	headerAmzToken      = "X-Amz-Security-Token" //nolint:gosec // a name
)

// glanceBytes is how many bytes of a body are read if the query and the header
// fields have already given action, version and signature.
const glanceBytes = 4 << 10

// Request returns the call made by a request and the secrets in the request. It
// may return more if it is called again with more of the body.
//
// A parameter is taken from the query, or else from the header fields X-Action and
// X-Version, or else from a form, multipart or JSON body, whatever the Content-Type.
// The first value is used, except that different actions give SeveralActions.
//
// Service and region are taken from the scope of the credential, because the
// signed values are authoritative and the vendor's internal hosts name neither.
// Otherwise they are taken from the parameters Service and Region, the host, the
// Host field, and finally the service of the documented action.
func (c *Classifier) Request(r *Request) (Call, Secrets) {
	var q wanted
	path, query := syntax.SplitTarget(r.Target)
	q.pairs(query, false)
	authorization := get(r.Header, headerAuthorization)
	q.authorize(authorization)
	q.named(r.Header)
	if len(r.Body) > 0 {
		q.body(r)
	}
	q.header(r.Header)

	host := r.Host
	if len(host) == 0 {
		host = syntax.Authority(path)
	}
	q.host = get(r.Header, headerHost)
	call := c.call(&q, host)
	call.Fingerprint = q.asked.of(r.Method, path, &call)
	return call, q.secrets()
}

// wanted are the parameters that are looked for, as they stand in the request.
type wanted struct {
	action, version, service, region param
	accessKey, signature, token      param
	credential, date, timestamp      param
	algorithm, dryRun                param

	asked   fingerprint
	several bool // the query and the form name several actions
	inField bool // the action is that of a field

	// Of the Authorization field, which is never escaped.
	scope         []byte
	authKey       []byte
	authSignature []byte
	httpDate      []byte

	host []byte // the Host field
}

// offer sets p to the value if it has none yet. If p is the action, it also records
// whether the values differ.
func (q *wanted) offer(p *param, raw []byte, enc encoding) {
	if p == &q.action && p.raw != nil && len(raw) > 0 && !q.inField && !q.several {
		var one, other [maxName]byte
		second := param{raw: raw, enc: enc}
		q.several = !bytes.EqualFold(bytes.TrimSpace(p.append(one[:0])), bytes.TrimSpace(second.append(other[:0])))
	}
	p.offer(raw, enc)
}

// place returns the field for the parameter of that name, or nil if it is not looked
// for. Names are compared without case.
func (q *wanted) place(name []byte) *param {
	switch len(name) {
	case len("Action"):
		if ascii.EqualFold(name, "action") {
			return &q.action
		}
		if ascii.EqualFold(name, "region") {
			return &q.region
		}
		if ascii.EqualFold(name, "dryrun") {
			return &q.dryRun
		}
	case len("Version"):
		if ascii.EqualFold(name, "version") {
			return &q.version
		}
		if ascii.EqualFold(name, "service") {
			return &q.service
		}
	case len("Accesskey"):
		if ascii.EqualFold(name, "accesskey") {
			return &q.accessKey
		}
		if ascii.EqualFold(name, "signature") {
			return &q.signature
		}
		if ascii.EqualFold(name, "timestamp") {
			return &q.timestamp
		}
	case len("X-Amz-Date"):
		if ascii.EqualFold(name, "x-amz-date") {
			return &q.date
		}
	case len("AccessKeyId"):
		if ascii.EqualFold(name, "accesskeyid") {
			return &q.accessKey
		}
	case len("SecurityToken"):
		if ascii.EqualFold(name, "securitytoken") {
			return &q.token
		}
	case len("X-Amz-Signature"):
		if ascii.EqualFold(name, "x-amz-signature") {
			return &q.signature
		}
		if ascii.EqualFold(name, "x-amz-algorithm") {
			return &q.algorithm
		}
	case len("X-Amz-Credential"):
		if ascii.EqualFold(name, "x-amz-credential") {
			return &q.credential
		}
	case len("X-Amz-Security-Token"):
		if ascii.EqualFold(name, "x-amz-security-token") || ascii.EqualFold(name, "x-ksc-security-token") {
			return &q.token
		}
	}
	return nil
}

// longestParam is the length of the longest name that place knows.
const longestParam = len("X-Amz-Security-Token")

// settled reports whether the signature, the action and the version were found.
func (q *wanted) settled() bool {
	return q.signed() && q.action.raw != nil && q.version.raw != nil
}

// signed reports whether a signature was found.
func (q *wanted) signed() bool { return q.authSignature != nil || q.signature.raw != nil }

// named reads the fields that name action and version.
func (q *wanted) named(h Header) {
	if h == nil {
		return
	}
	if q.action.raw == nil {
		q.action.offer(bytes.TrimSpace(h.Get(headerAction)), encodedNot)
		q.inField = q.action.raw != nil
		q.asked.add(q.action.raw)
	}
	if q.version.raw == nil {
		q.version.offer(bytes.TrimSpace(h.Get(headerVersion)), encodedNot)
		q.asked.add(q.version.raw)
	}
}

// header reads what is still missing from fields other than Authorization.
func (q *wanted) header(h Header) {
	if h == nil {
		return
	}
	if q.action.raw == nil {
		// "Service_Version.Action", of which the last part is sure.
		target := bytes.TrimSpace(h.Get(headerTarget))
		q.action.offer(target[bytes.LastIndexByte(target, '.')+1:], encodedNot)
		q.asked.add(q.action.raw)
	}
	if q.token.raw == nil {
		q.token.offer(bytes.TrimSpace(h.Get(headerKscToken)), encodedNot)
	}
	if q.token.raw == nil {
		q.token.offer(bytes.TrimSpace(h.Get(headerAmzToken)), encodedNot)
	}
	if q.date.raw == nil {
		q.date.offer(bytes.TrimSpace(h.Get(headerAmzDate)), encodedNot)
	}
	if q.date.raw == nil && q.timestamp.raw == nil {
		q.httpDate = bytes.TrimSpace(h.Get(headerDate))
	}
}

// secrets returns the secrets found. The Authorization field has precedence: a
// request that has one is signed by it.
func (q *wanted) secrets() Secrets {
	s := Secrets{AccessKey: q.authKey, Signature: q.authSignature, Token: q.token.raw}
	if s.AccessKey == nil {
		s.AccessKey, _ = syntax.SplitCredential(q.credential.raw)
	}
	if s.AccessKey == nil {
		s.AccessKey = q.accessKey.raw
	}
	if s.Signature == nil {
		s.Signature = q.signature.raw
	}
	return s
}
