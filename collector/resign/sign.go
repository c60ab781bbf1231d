package resign

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// dateLayout is the time format of SigV4, in UTC.
const dateLayout = "20060102T150405Z"

// Window is the largest difference between the time of a signature and ours. The
// vendor's API applies the same limit.
const Window = 15 * time.Minute

// Config configures a Signer.
type Config struct {
	// Credentials returns the credentials to sign with. It is called for each
	// request.
	Credentials func() Credentials
	// Local, if not nil, returns the credentials that programs must have signed
	// with. If nil, programs' signatures are not verified.
	Local func() Credentials
	// Host is the value of the Host field of the requests that are sent.
	Host string
	// Region and Service are used if a request's signature names none.
	Region, Service string
	// Now is the clock. If nil, it is time.Now.
	Now func() time.Time
}

// Signer signs requests again. It is safe for concurrent use.
type Signer struct{ cfg Config }

// New returns a Signer.
func New(cfg Config) *Signer {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Signer{cfg}
}

// Append appends the request to send in place of r to dst: signed with the
// signer's credentials, for its host, with a Content-Length. It returns one of
// the errors of this package if r is not signed with the local credentials.
func (s *Signer) Append(dst []byte, r *Request) ([]byte, error) {
	c, now := read(r), s.cfg.Now()
	if s.cfg.Local != nil {
		if err := c.verify(s.cfg.Local(), now); err != nil {
			return dst, err
		}
	}
	key := s.cfg.Credentials()
	if c.scheme == schemeSimple {
		c.signSimple(key, now)
	}
	c.reframe(s.cfg.Host, key)
	if c.scheme != schemeSimple {
		c.signV4(key, cmp.Or(c.sigV4.region, s.cfg.Region), cmp.Or(c.sigV4.service, s.cfg.Service), now)
	}
	return c.append(dst), nil
}

// Sent returns the parts of the credentials that requests contain, apart from the
// signature.
func (s *Signer) Sent() (accessKey, token string) {
	key := s.cfg.Credentials()
	return key.AccessKey, key.Token
}

// The reasons why a request is refused. They quote nothing of the request.
var (
	ErrUnsigned  = errors.New("it is not signed")
	ErrMalformed = errors.New("its signature is incomplete or malformed")
	ErrKey       = errors.New("it is signed with another access key")
	ErrTime      = errors.New("the time of its signature differs by more than 15 minutes, or is not on the day of its credential")
	ErrSignature = errors.New("its signature does not match")
)

// verify returns nil if c is validly signed with key.
func (c *call) verify(key Credentials, now time.Time) error {
	switch c.scheme {
	case schemeNone:
		return ErrUnsigned
	case schemeSimple:
		return c.verifySimple(key, now)
	}
	v := &c.sigV4
	if v.accessKey == "" || v.signature == "" || v.end != terminator || !slices.Contains(v.signed, "host") {
		return ErrMalformed
	}
	at, ok := parseTime(v.date)
	switch {
	case !ok:
		return ErrMalformed
	case !within(at, now) || at.UTC().Format("20060102") != v.day:
		return ErrTime
	case !same(v.accessKey, key.AccessKey):
		return ErrKey
	case !same(v.signature, c.signatureV4(key.SecretKey)):
		return ErrSignature
	}
	return nil
}

func (c *call) verifySimple(key Credentials, now time.Time) error {
	params := slices.Concat(c.query, c.form)
	accessKey, _ := find(params, "Accesskey")
	signature, _ := find(params, "Signature")
	timestamp, _ := find(params, "Timestamp")
	at, ok := parseTime(timestamp)
	switch {
	case accessKey == "" || signature == "" || !ok:
		return ErrMalformed
	case !within(at, now):
		return ErrTime
	case !same(accessKey, key.AccessKey):
		return ErrKey
	case !same(signature, signatureSimple(key.SecretKey, params)):
		return ErrSignature
	}
	return nil
}

func within(at, now time.Time) bool { return at.Sub(now).Abs() <= Window }

func same(a, b string) bool { return hmac.Equal([]byte(a), []byte(b)) }

// replaced lists the fields that are not copied. Signing writes some of them
// again. The relay has answered 100-continue, and there are no trailers without
// chunked framing.
var replaced = []string{
	"expect", "trailer", "authorization", "x-amz-date", "x-amz-security-token", "x-ksc-security-token",
}

// reframe sets the fields of the request to host, except for the signature. The
// Host field keeps its position.
func (c *call) reframe(host string, key Credentials) {
	fields := make([]field, 0, len(c.fields)+4)
	framed := len(c.body) > 0
	for _, f := range c.fields {
		switch {
		case f.lower == "host":
			fields = append(fields, field{f.name, f.lower, host})
		case f.lower == "content-length" || f.lower == "transfer-encoding":
			framed = true
		case !slices.Contains(replaced, f.lower):
			fields = append(fields, f)
		}
	}
	if framed {
		fields = append(fields, field{"Content-Length", "content-length", strconv.Itoa(len(c.body))})
	}
	if key.Token != "" && c.scheme != schemePresigned && c.scheme != schemeSimple {
		fields = append(fields, field{"X-Amz-Security-Token", "x-amz-security-token", key.Token})
	}
	for i := range fields {
		if fields[i].lower == "x-amz-content-sha256" && (c.scheme != schemePresigned || fields[i].value != unsignedPayload) {
			fields[i].value = hexSHA256(c.body)
		}
	}
	c.fields = fields
}

// signV4 signs with SigV4: in the query if the program did, otherwise in a header.
func (c *call) signV4(key Credentials, region, service string, now time.Time) {
	now = now.UTC()
	v := &c.sigV4
	*v = sigV4{
		accessKey: key.AccessKey, day: now.Format("20060102"), region: region, service: service, end: terminator,
		date: now.Format(dateLayout), signed: v.signed,
	}
	credential := strings.Join([]string{v.accessKey, v.day, v.region, v.service, v.end}, "/")
	if c.scheme == schemePresigned {
		c.toSign("host")
		c.query = slices.DeleteFunc(c.query, func(p pair) bool {
			switch p.name {
			case "X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-SignedHeaders", "X-Amz-Security-Token", "X-Amz-Signature":
				return true
			}
			return false
		})
		c.query = append(c.query, param("X-Amz-Algorithm", algorithm), param("X-Amz-Credential", credential),
			param("X-Amz-Date", v.date), param("X-Amz-SignedHeaders", strings.Join(v.signed, ";")))
		if key.Token != "" {
			c.query = append(c.query, param("X-Amz-Security-Token", key.Token))
		}
		c.query = append(c.query, param("X-Amz-Signature", c.signatureV4(key.SecretKey)))
		return
	}
	c.fields = append(c.fields, field{"X-Amz-Date", "x-amz-date", v.date})
	if key.Token != "" {
		c.toSign("host", "x-amz-date", "x-amz-security-token")
	} else {
		c.toSign("host", "x-amz-date")
	}
	c.fields = append(c.fields, field{"Authorization", "authorization", algorithm + " Credential=" + credential +
		", SignedHeaders=" + strings.Join(v.signed, ";") + ", Signature=" + c.signatureV4(key.SecretKey)})
}

// toSign sets the fields to sign: those that the program signed and more, as far
// as the request has them.
func (c *call) toSign(more ...string) {
	names := slices.DeleteFunc(append(c.sigV4.signed, more...), func(name string) bool {
		return !slices.ContainsFunc(c.fields, func(f field) bool { return f.lower == name })
	})
	slices.Sort(names)
	c.sigV4.signed = slices.Compact(names)
}

// signatureV4 computes the SigV4 signature of c.
func (c *call) signatureV4(secret string) string {
	v := &c.sigV4
	var b strings.Builder
	b.WriteString(c.method + "\n" + encodePath(c.path) + "\n" + canonical(c.query, "X-Amz-Signature") + "\n")
	for _, name := range v.signed {
		b.WriteString(name + ":" + c.canonicalValue(name) + "\n")
	}
	payload := unsignedPayload
	if c.scheme != schemePresigned || c.get("x-amz-content-sha256") != unsignedPayload {
		payload = hexSHA256(c.body)
	}
	b.WriteString("\n" + strings.Join(v.signed, ";") + "\n" + payload)

	key := hmacSHA256([]byte("AWS4"+secret), v.day)
	for _, part := range []string{v.region, v.service, v.end} {
		key = hmacSHA256(key, part)
	}
	scope := v.day + "/" + v.region + "/" + v.service + "/" + v.end
	return hex.EncodeToString(hmacSHA256(key, algorithm+"\n"+v.date+"\n"+scope+"\n"+hexSHA256([]byte(b.String()))))
}

// canonicalValue returns the values of a field, joined by commas and with runs of
// spaces replaced by one space.
func (c *call) canonicalValue(name string) string {
	var values []string
	for i := range c.fields {
		if c.fields[i].lower == name {
			values = append(values, strings.Join(strings.Fields(c.fields[i].value), " "))
		}
	}
	return strings.Join(values, ",")
}

// signSimple signs with the vendor's simple signature, in the query or in the
// form, as the program did.
func (c *call) signSimple(key Credentials, now time.Time) {
	at := &c.query
	if c.inForm {
		at = &c.form
	}
	signature := func(p pair) bool {
		switch p.name {
		case "Accesskey", "Timestamp", "SecurityToken", "Signature":
			return true
		}
		return false
	}
	c.query, c.form = slices.DeleteFunc(c.query, signature), slices.DeleteFunc(c.form, signature)
	for _, fixed := range []pair{param("SignatureVersion", "1.0"), param("SignatureMethod", "HMAC-SHA256")} {
		if _, ok := find(slices.Concat(c.query, c.form), fixed.name); !ok {
			*at = append(*at, fixed)
		}
	}
	*at = append(*at, param("Accesskey", key.AccessKey), param("Timestamp", now.UTC().Format(time.RFC3339)))
	if key.Token != "" {
		*at = append(*at, param("SecurityToken", key.Token))
	}
	*at = append(*at, param("Signature", signatureSimple(key.SecretKey, slices.Concat(c.query, c.form))))
	if c.inForm {
		c.body = []byte(joined(c.form))
	}
}

func signatureSimple(secret string, params []pair) string {
	return hex.EncodeToString(hmacSHA256([]byte(secret), canonical(params, "Signature")))
}

// canonical encodes all parameters except without, sorted by name and value.
func canonical(params []pair, without string) string {
	all := make([]pair, 0, len(params))
	for i := range params {
		if params[i].name != without {
			all = append(all, param(params[i].name, params[i].value))
		}
	}
	slices.SortFunc(all, func(a, b pair) int {
		return cmp.Or(strings.Compare(encode(a.name), encode(b.name)), strings.Compare(a.raw, b.raw))
	})
	return joined(all)
}

// append appends the request to dst.
func (c *call) append(dst []byte) []byte {
	dst = append(dst, c.method...)
	dst = append(dst, ' ')
	dst = append(dst, c.path...)
	if len(c.query) > 0 {
		dst = append(dst, '?')
		dst = append(dst, joined(c.query)...)
	}
	dst = append(dst, ' ')
	dst = append(dst, c.version...)
	dst = append(dst, "\r\n"...)
	for i := range c.fields {
		dst = append(dst, c.fields[i].name...)
		dst = append(dst, ": "...)
		dst = append(dst, c.fields[i].value...)
		dst = append(dst, "\r\n"...)
	}
	dst = append(dst, "\r\n"...)
	return append(dst, c.body...)
}

func joined(params []pair) string {
	all := make([]string, len(params))
	for i := range params {
		all[i] = params[i].raw
	}
	return strings.Join(all, "&")
}

func param(name, value string) pair {
	return pair{encode(name) + "=" + encode(value), name, value}
}

// encodePath percent-encodes a path a second time, as SigV4 requires for every
// service except object storage.
func encodePath(path string) string { return strings.ReplaceAll(encode(path), "%2F", "/") }

// encode percent-encodes all characters except RFC 3986's unreserved ones.
func encode(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }

func hmacSHA256(key []byte, data string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(data))
	return h.Sum(nil)
}

func hexSHA256(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
