package classify

import (
	"bytes"

	"github.com/ksyun-tap/ksyun-tap/hostname"
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
	path, query := splitTarget(r.Target)
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
		host = authority(path)
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

// param is one value as it stands in a request.
type param struct {
	raw []byte
	enc encoding
}

// encoding is how a parameter's bytes are written.
type encoding uint8

const (
	encodedNot encoding = iota
	encodedURL
	encodedJSON
)

// offer sets p to the value if it has none yet.
func (p *param) offer(raw []byte, enc encoding) {
	if p.raw == nil && len(raw) > 0 {
		*p = param{raw: raw, enc: enc}
	}
}

// offer sets p to the value if it has none yet. Of actions it sees whether they
// differ.
func (q *wanted) offer(p *param, raw []byte, enc encoding) {
	if p == &q.action && p.raw != nil && len(raw) > 0 && !q.inField && !q.several {
		var one, other [maxName]byte
		second := param{raw: raw, enc: enc}
		q.several = !bytes.EqualFold(bytes.TrimSpace(p.append(one[:0])), bytes.TrimSpace(second.append(other[:0])))
	}
	p.offer(raw, enc)
}

// append appends the plain value, as much of it as dst has room for. A value
// that is longer is not one of those that are looked for: then it is none.
func (p *param) append(dst []byte) []byte {
	text, ok := dst, len(p.raw) <= cap(dst)-len(dst)
	switch p.enc {
	case encodedURL:
		return appendUnescaped(dst, p.raw)
	case encodedJSON:
		text, ok = appendJSON(dst, p.raw)
	case encodedNot:
		if ok {
			text = append(dst, p.raw...)
		}
	}
	if !ok {
		return dst
	}
	return text
}

// place returns where the parameter of that name goes, nil for one that is not
// looked for. Names are compared without case.
func (q *wanted) place(name []byte) *param {
	switch len(name) {
	case len("Action"):
		if equalFold(name, "action") {
			return &q.action
		}
		if equalFold(name, "region") {
			return &q.region
		}
		if equalFold(name, "dryrun") {
			return &q.dryRun
		}
	case len("Version"):
		if equalFold(name, "version") {
			return &q.version
		}
		if equalFold(name, "service") {
			return &q.service
		}
	case len("Accesskey"):
		if equalFold(name, "accesskey") {
			return &q.accessKey
		}
		if equalFold(name, "signature") {
			return &q.signature
		}
		if equalFold(name, "timestamp") {
			return &q.timestamp
		}
	case len("X-Amz-Date"):
		if equalFold(name, "x-amz-date") {
			return &q.date
		}
	case len("AccessKeyId"):
		if equalFold(name, "accesskeyid") {
			return &q.accessKey
		}
	case len("SecurityToken"):
		if equalFold(name, "securitytoken") {
			return &q.token
		}
	case len("X-Amz-Signature"):
		if equalFold(name, "x-amz-signature") {
			return &q.signature
		}
		if equalFold(name, "x-amz-algorithm") {
			return &q.algorithm
		}
	case len("X-Amz-Credential"):
		if equalFold(name, "x-amz-credential") {
			return &q.credential
		}
	case len("X-Amz-Security-Token"):
		if equalFold(name, "x-amz-security-token") || equalFold(name, "x-ksc-security-token") {
			return &q.token
		}
	}
	return nil
}

// longestParam is the length of the longest name that place knows.
const longestParam = len("X-Amz-Security-Token")

// pairs reads a query or a form. Where it is cut its last pair is left out:
// half a name would be another name.
func (q *wanted) pairs(s []byte, cut bool) {
	var buf [longestParam]byte
	for i := 0; i < len(s); i++ {
		start, escaped := i, false
		for i < len(s) && s[i] != '=' && s[i] != '&' {
			escaped = escaped || s[i] == '%'
			i++
		}
		name := s[start:i]
		var value []byte
		if i < len(s) && s[i] == '=' {
			value = s[i+1:]
			if end := bytes.IndexByte(value, '&'); end >= 0 {
				value = value[:end]
			}
			i += 1 + len(value)
		}
		if i == len(s) && cut {
			return
		}
		if escaped && len(name) <= 3*longestParam {
			name = appendUnescaped(buf[:0], name)
		}
		p := q.place(name)
		if p != nil {
			q.offer(p, value, encodedURL)
		}
		if !q.ofSignature(p, name) {
			q.asked.add(s[start:i])
		}
	}
}

// body reads the body as JSON, multipart or a form, whichever it looks like.
func (q *wanted) body(r *Request) {
	body := bytes.TrimPrefix(r.Body, byteOrderMark)
	signed := q.signed()
	if signed { // so that nothing in the body is of the signature
		q.asked.add(r.Body)
	}
	cut := shorter(r.Body, get(r.Header, headerContentLength))
	if q.settled() && len(body) > glanceBytes {
		body, cut = body[:glanceBytes], true
	}
	start := skipSpace(body, 0)
	switch {
	case start == len(body):
	case body[start] == '{':
		q.json(body[start:])
		if !signed {
			q.asked.add(body)
		}
	case bytes.HasPrefix(body[start:], dashes):
		eachPart(body[start:], func(name, value []byte) {
			p := q.place(name)
			if p != nil {
				q.offer(p, value, encodedNot)
			}
			if !signed && !q.ofSignature(p, name) {
				q.asked.addPart(name, value)
			}
		})
	case isForm(get(r.Header, headerContentType), body):
		asked := q.asked
		q.pairs(bytes.TrimRight(body[start:], "\r\n"), cut)
		if signed {
			q.asked = asked // which has the whole body
		}
	case !signed:
		q.asked.add(body)
	}
}

// settled reports whether nothing is left to learn but details.
func (q *wanted) settled() bool {
	return q.signed() && q.action.raw != nil && q.version.raw != nil
}

// signed reports whether a signature was found.
func (q *wanted) signed() bool { return q.authSignature != nil || q.signature.raw != nil }

// shorter reports whether body is shorter than the Content-Length says.
func shorter(body, length []byte) bool {
	n := 0
	for _, c := range bytes.TrimSpace(length) {
		if c < '0' || c > '9' || n > 1<<40 {
			return false
		}
		n = 10*n + int(c-'0')
	}
	return n > len(body)
}

// isForm reports whether a body is to be read as a form: one that says so, or
// that begins like one.
func isForm(contentType, body []byte) bool {
	media, _, _ := bytes.Cut(contentType, []byte{';'})
	if equalFold(bytes.TrimSpace(media), "application/x-www-form-urlencoded") {
		return true
	}
	head := body[:min(len(body), 3*longestParam)]
	end := bytes.IndexByte(head, '=')
	for _, c := range head[:max(end, 0)] {
		if !isNameByte(c) && c != '%' && c != '&' {
			return false
		}
	}
	return end > 0
}

var dashes = []byte("--")

// eachPart calls f for the parts of a multipart form. One that is cut is left
// out.
func eachPart(b []byte, f func(name, value []byte)) {
	if !bytes.HasPrefix(b, dashes) {
		return
	}
	boundary, rest, ok := cutLine(b)
	for ok && len(boundary) > len(dashes) {
		var name, line []byte
		for line, rest, ok = cutLine(rest); ok && len(line) > 0; line, rest, ok = cutLine(rest) {
			if header, value, _ := bytes.Cut(line, []byte{':'}); equalFold(header, "content-disposition") {
				name = parameter(value, "name")
			}
		}
		end := bytes.Index(rest, boundary)
		if !ok || end < 0 {
			return
		}
		f(name, bytes.TrimRight(rest[:end], "\r\n"))
		_, rest, ok = cutLine(rest[end:])
	}
}

// cutLine cuts b behind its first line, which is returned without its end.
func cutLine(b []byte) (line, rest []byte, ok bool) {
	line, rest, ok = bytes.Cut(b, []byte{'\n'})
	return bytes.TrimSuffix(line, []byte{'\r'}), rest, ok
}

// json reads the parameters at the top of a JSON body.
func (q *wanted) json(b []byte) {
	s := scanner{b: b}
	if !s.enter('{') {
		return
	}
	var buf [maxKey]byte
	known := q.action.raw != nil // then an Action here is something else
	for key, ok := s.key(&buf); ok; key, ok = s.key(&buf) {
		p := q.place(key)
		if p == nil || p == &q.action && known {
			s.skip()
			continue
		}
		if v := s.scalar(); !v.cut {
			enc := encodedNot
			if v.esc == escapeJSON {
				enc = encodedJSON
			}
			q.offer(p, v.raw, enc)
		}
	}
}

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

// header reads what other fields say besides the Authorization.
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

// secrets returns the secrets found. The parts of the Authorization field come
// first: it is what a request is signed by if it has one.
func (q *wanted) secrets() Secrets {
	s := Secrets{AccessKey: q.authKey, Signature: q.authSignature, Token: q.token.raw}
	if s.AccessKey == nil {
		s.AccessKey, _ = splitCredential(q.credential.raw)
	}
	if s.AccessKey == nil {
		s.AccessKey = q.accessKey.raw
	}
	if s.Signature == nil {
		s.Signature = q.signature.raw
	}
	return s
}

// maxName is the length beyond which a value is no name.
const maxName = 64

// call makes a Call of what was found.
func (c *Classifier) call(q *wanted, host []byte) Call {
	var buf [hostname.MaxLength]byte
	host = hostname.AppendLower(buf[:0], host)
	call := Call{
		Host:     c.strings.get(host),
		Action:   c.action(q),
		Version:  c.name(&q.version),
		Signing:  q.signing(),
		SignedAt: q.signedAt(),
		DryRun:   isTrue(&q.dryRun),
	}
	call.Service, call.Region = c.place(q, host)
	if call.Service == "" {
		call.Service = c.serviceOf(call.Action, call.Version)
	}
	return call
}

// action returns the action, a documented one as it is documented.
func (c *Classifier) action(q *wanted) string {
	name := c.name(&q.action)
	var buf [maxName]byte
	if q.several && name != "" {
		return SeveralActions
	}
	if known := c.actions[string(appendLower(buf[:0], []byte(name)))]; known != nil {
		return known[0].Name
	}
	return name
}

// serviceOf returns the service of a documented action, "" if it is not
// documented in that version.
func (c *Classifier) serviceOf(action, version string) string {
	var buf [maxName]byte
	for _, a := range c.actions[string(appendLower(buf[:0], []byte(action)))] {
		if version == "" || a.Version == version {
			return a.Service
		}
	}
	return ""
}

// place tells service and region: by scope, by parameter, by host.
func (c *Classifier) place(q *wanted, host []byte) (service, region string) {
	scope, enc := q.scope, encodedNot
	if scope == nil {
		_, scope = splitCredential(q.credential.raw)
		enc = q.credential.enc
	}
	var buf [4 * maxName]byte
	p := param{raw: scope, enc: enc}
	inRegion, ofService := readScope(p.append(buf[:0]))
	hostService, hostRegion := readHost(host)
	var field [hostname.MaxLength]byte
	if hostService == nil && hostRegion == nil {
		hostService, hostRegion = readHost(hostname.AppendLower(field[:0], q.host))
	}

	service, region = c.lowerName(ofService), c.lowerName(inRegion)
	var text [maxName]byte
	if service == "" {
		service = c.lowerName(q.service.append(text[:0]))
	}
	if service == "" {
		service = c.lowerName(hostService)
	}
	if region == "" {
		region = c.lowerName(q.region.append(text[:0]))
	}
	if region == "" {
		region = c.lowerName(hostRegion)
	}
	return service, region
}

// name returns p as a name, "" if it is none.
func (c *Classifier) name(p *param) string {
	var buf [maxName]byte
	b := bytes.TrimSpace(p.append(buf[:0]))
	if !c.isOpenName(b) {
		return ""
	}
	return c.strings.get(b)
}

// isOpenName reports whether b is a name that is no key.
func (c *Classifier) isOpenName(b []byte) bool {
	if !isName(b) {
		return false
	}
	if len(b) < minKeyID {
		return true
	}
	var buf [maxName]byte
	return c.actions[string(appendLower(buf[:0], b))] != nil || !looksKey(b)
}

// lowerName returns b in lower case, "" if it is no name.
func (c *Classifier) lowerName(b []byte) string {
	if !c.isOpenName(b) {
		return ""
	}
	var buf [maxName]byte
	return c.strings.get(appendLower(buf[:0], b))
}

// isName reports whether b may be a label: anything else is not an action, a
// version, a service or a region of the vendor's.
func isName(b []byte) bool {
	if len(b) == 0 || len(b) > maxName {
		return false
	}
	for _, c := range b {
		if !isNameByte(c) {
			return false
		}
	}
	return true
}

// isNameByte reports whether c may be part of a name.
func isNameByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '.' || c == '_' || c == '-'
}

// isTrue reports whether p is a yes.
func isTrue(p *param) bool {
	var buf [8]byte
	b := p.append(buf[:0])
	return equalFold(b, "true") || equalFold(b, "1")
}

// appendUnescaped appends s with percent-encoding and plus signs undone, "" if
// dst has too little room. A percent sign that encodes nothing stands for
// itself.
func appendUnescaped(dst, s []byte) []byte {
	start := len(dst)
	for i := 0; i < len(s); i++ {
		if len(dst) == cap(dst) {
			return dst[:start]
		}
		c := s[i]
		switch {
		case c == '+':
			c = ' '
		case c == '%' && hex2(s[i+1:]) >= 0:
			c = byte(hex2(s[i+1:])) //nolint:gosec // two hexadecimal digits
			i += 2
		}
		dst = append(dst, c)
	}
	return dst
}
