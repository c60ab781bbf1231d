package cloudmonitor

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	sigV4Algorithm = "AWS4-HMAC-SHA256"
	sigV4Date      = "20060102T150405Z"
	// unsignedPayload may be the hash of a presigned request's body.
	unsignedPayload = "UNSIGNED-PAYLOAD"
	// clockWindow is the largest difference between a request's time and the
	// gateway's, as the vendor documents it.
	clockWindow = 15 * time.Minute
)

// Credential is an access key that the simulator accepts.
type Credential struct {
	AccessKey string
	SecretKey string
	// Token, if not empty, is the security token that requests must have.
	Token string
	// TokenExpired makes the gateway respond that the token has expired.
	TokenExpired bool
	// Denied lists the actions that the key has no permission for; "*" means all.
	Denied []string
	// Foreign makes every resource belong to another account.
	Foreign bool
}

// authenticate verifies the signature of a request and returns its credential.
// params are the decoded parameters of query and form.
func (s *Server) authenticate(r *http.Request, body []byte, params url.Values) (*Credential, *Error) {
	switch {
	case r.Header.Get("Authorization") != "":
		return s.verifyAuthorization(r, body)
	case params.Get("X-Amz-Algorithm") != "" || params.Get("X-Amz-Signature") != "":
		return s.verifyPresigned(r, body)
	case slices.ContainsFunc([]string{"Accesskey", "Signature", "SignatureMethod", "SignatureVersion"}, params.Has):
		return s.verifySimple(params)
	}
	return nil, newError(http.StatusForbidden, "MissingAuthenticationToken", "Request is missing Authentication Token.")
}

// sigV4 holds the parts of a SigV4 signature.
type sigV4 struct {
	scope     [5]string // access key, date, region, service, terminator
	signed    []string
	signature string
	date      string
	presigned bool
}

func (s *Server) verifyAuthorization(r *http.Request, body []byte) (*Credential, *Error) {
	incomplete := func(message string) (*Credential, *Error) {
		return nil, newError(http.StatusBadRequest, "IncompleteSignature", message)
	}
	algorithm, rest, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	if !ok {
		return incomplete("Authorization header format error.")
	}
	if algorithm != sigV4Algorithm {
		return incomplete("Unsupported ksc 'algorithm': " + algorithm + ".")
	}
	fields := map[string]string{}
	for part := range strings.SplitSeq(rest, ",") {
		k, v, _ := strings.Cut(strings.TrimSpace(part), "=")
		fields[k] = v
	}
	v := sigV4{signature: fields["Signature"], date: r.Header.Get("X-Amz-Date")}
	if fields["Credential"] == "" || v.signature == "" || fields["SignedHeaders"] == "" || v.date == "" {
		return incomplete("Authorization header lacks Credential, Signature, SignedHeaders, X-Amz-Date or Date")
	}
	v.signed = strings.Split(fields["SignedHeaders"], ";")
	if !v.setScope(fields["Credential"]) {
		return incomplete("Credential must have exactly 5 slash-delimited elements")
	}
	return s.verifySigV4(r, body, v)
}

func (s *Server) verifyPresigned(r *http.Request, body []byte) (*Credential, *Error) {
	incomplete := func(message string) (*Credential, *Error) {
		return nil, newError(http.StatusBadRequest, "IncompleteSignature", message)
	}
	q := r.URL.Query()
	if a := q.Get("X-Amz-Algorithm"); a != sigV4Algorithm {
		return incomplete("Unsupported ksc 'algorithm': " + a + ".")
	}
	v := sigV4{signature: q.Get("X-Amz-Signature"), date: q.Get("X-Amz-Date"), presigned: true}
	v.signed = strings.Split(q.Get("X-Amz-SignedHeaders"), ";")
	if v.signature == "" || v.date == "" || v.signed[0] == "" {
		return incomplete("KSC query-string parameters must include X-Amz-Signature, X-Amz-Date and X-Amz-SignedHeaders.")
	}
	if !v.setScope(q.Get("X-Amz-Credential")) {
		return incomplete("Credential must have exactly 5 slash-delimited elements")
	}
	return s.verifySigV4(r, body, v)
}

func (v *sigV4) setScope(credential string) bool {
	parts := strings.Split(credential, "/")
	return len(parts) == len(v.scope) && copy(v.scope[:], parts) == len(v.scope)
}

func (s *Server) verifySigV4(r *http.Request, body []byte, v sigV4) (*Credential, *Error) {
	mismatch := func(message string) (*Credential, *Error) {
		return nil, newError(http.StatusForbidden, "SignatureDoesNotMatch", message)
	}
	if !slices.Contains(v.signed, "host") {
		return mismatch("'Host' must be a 'SignedHeader' in the Authorization.")
	}
	if v.scope[4] != "aws4_request" {
		return mismatch("Credential should be scoped with a valid terminator: 'aws4_request', not: " + v.scope[4] + ".")
	}
	if want, ok := serviceOfHost(r.Host); ok && v.scope[3] != want {
		return mismatch("Credential should be scoped to correct service: " + want + ".")
	}
	if want, ok := regionOfHost(r.Host); ok && v.scope[2] != want {
		return mismatch("Credential should be scoped to a valid region, not '" + v.scope[2] + "'.")
	}
	at, ok := parseAmzDate(v.date)
	if !ok {
		return nil, newError(http.StatusBadRequest, "IncompleteSignature", "date not in ISO-8601 basic form")
	}
	if at.UTC().Format("20060102") != v.scope[1] {
		return mismatch("Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP.")
	}
	if skew := s.now().Sub(at); skew > clockWindow || skew < -clockWindow {
		return mismatch("Signature expired:" + v.date + ".")
	}
	c, ok := s.credential(v.scope[0])
	if !ok {
		return nil, newError(http.StatusForbidden, "InvalidClientTokenId", "The security token included in the request is invalid.")
	}
	payload := hexSHA256(body)
	if v.presigned && r.Header.Get("X-Amz-Content-Sha256") == unsignedPayload {
		payload = unsignedPayload
	}
	want := signatureV4(c.SecretKey, v, canonicalRequest(r, v.signed, payload))
	if !hmac.Equal([]byte(want), []byte(v.signature)) {
		return mismatch("The request signature we calculated does not match the signature you provided.")
	}
	return c.admit(cmp.Or(r.Header.Get("X-Amz-Security-Token"), r.Header.Get("X-Ksc-Security-Token"), r.URL.Query().Get("X-Amz-Security-Token")))
}

// verifySimple verifies the vendor's simple signature: the hexadecimal HMAC-SHA256
// of the sorted and percent-encoded parameters.
func (s *Server) verifySimple(params url.Values) (*Credential, *Error) {
	deny := func(code, message string) (*Credential, *Error) {
		return nil, newError(http.StatusBadRequest, code, message)
	}
	if params.Get("Accesskey") == "" {
		return deny("MissingAccesskey", "Access Key is Missing")
	}
	if params.Get("Signature") == "" {
		return deny("MissingSignature", "The Request is missing Signature Parameter")
	}
	if params.Get("Timestamp") == "" {
		return deny("MissingTimestamp", "The request is missing timestamp parameter")
	}
	at, err := time.Parse(time.RFC3339, params.Get("Timestamp"))
	if skew := s.now().Sub(at); err != nil || skew > clockWindow || skew < -clockWindow {
		return deny("InvalidTimestamp", "Invalid Timestamp. Pls in 15mins")
	}
	c, ok := s.credential(params.Get("Accesskey"))
	if !ok {
		return deny("InvalidAccesskey", "Invalid Accesskey")
	}
	if want := signatureSimple(c.SecretKey, params); !hmac.Equal([]byte(want), []byte(params.Get("Signature"))) {
		return deny("SignatureDoesNotMatch", "The Signature is not matched")
	}
	return c.admit(params.Get("SecurityToken"))
}

// admit checks the security token of a request that is signed with this key.
func (c *Credential) admit(token string) (*Credential, *Error) {
	if c.TokenExpired {
		return nil, newError(http.StatusBadRequest, "SecurityTokenExpired", "SecurityTokenExpired: the security token has expired")
	}
	if token != c.Token {
		return nil, newError(http.StatusForbidden, "InvalidClientTokenId", "The security token included in the request is invalid.")
	}
	return c, nil
}

func (c *Credential) denied(action string) bool {
	return slices.ContainsFunc(c.Denied, func(d string) bool { return d == "*" || strings.EqualFold(d, action) })
}

// canonicalRequest returns the canonical request of SigV4. A signed header that is
// named twice appears twice, because one of the vendor's SDKs does that with host.
func canonicalRequest(r *http.Request, signed []string, payload string) string {
	path, query, _ := strings.Cut(r.RequestURI, "?")
	if r.URL.IsAbs() {
		path, query = r.URL.EscapedPath(), r.URL.RawQuery
	}
	path = cmp.Or(path, "/")
	var b strings.Builder
	b.WriteString(r.Method + "\n" + encodePath(path) + "\n" + canonicalQuery(query) + "\n")
	for _, name := range signed {
		b.WriteString(name + ":" + canonicalValue(r, name) + "\n")
	}
	b.WriteString("\n" + strings.Join(signed, ";") + "\n" + payload)
	return b.String()
}

// canonicalValue returns the values of a field, joined and with runs of spaces
// replaced by one. net/http stores two fields outside of the header.
func canonicalValue(r *http.Request, name string) string {
	switch name {
	case "host":
		return r.Host
	case "content-length":
		if r.ContentLength >= 0 {
			return strconv.Itoa(int(r.ContentLength))
		}
		return ""
	}
	values := slices.Clone(r.Header.Values(name))
	for i, v := range values {
		values[i] = strings.Join(strings.Fields(v), " ")
	}
	return strings.Join(values, ",")
}

// encodePath percent-encodes a path a second time, as SigV4 requires for every
// service except object storage.
func encodePath(path string) string { return strings.ReplaceAll(encode(path), "%2F", "/") }

// canonicalQuery returns the query sorted by name and value, both encoded again,
// without the signature.
func canonicalQuery(query string) string {
	var pairs [][2]string
	for part := range strings.SplitSeq(query, "&") {
		if part == "" {
			continue
		}
		k, v, _ := strings.Cut(part, "=")
		key, err1 := url.QueryUnescape(k)
		value, err2 := url.QueryUnescape(v)
		if err1 != nil || err2 != nil {
			key, value = k, v
		}
		if key != "X-Amz-Signature" {
			pairs = append(pairs, [2]string{encode(key), encode(value)})
		}
	}
	slices.SortFunc(pairs, func(a, b [2]string) int { return slices.Compare(a[:], b[:]) })
	joined := make([]string, len(pairs))
	for i, p := range pairs {
		joined[i] = p[0] + "=" + p[1]
	}
	return strings.Join(joined, "&")
}

func signatureV4(secret string, v sigV4, canonical string) string {
	scope := strings.Join(v.scope[1:], "/")
	toSign := sigV4Algorithm + "\n" + v.date + "\n" + scope + "\n" + hexSHA256([]byte(canonical))
	key := []byte("AWS4" + secret)
	for _, part := range v.scope[1:] {
		key = hmacSHA256(key, part)
	}
	return hex.EncodeToString(hmacSHA256(key, toSign))
}

func signatureSimple(secret string, params url.Values) string {
	var pairs []string
	for _, k := range slices.Sorted(maps.Keys(params)) {
		if k != "Signature" {
			pairs = append(pairs, encode(k)+"="+encode(params.Get(k)))
		}
	}
	return hex.EncodeToString(hmacSHA256([]byte(secret), strings.Join(pairs, "&")))
}

// parseAmzDate parses the time of a SigV4 signature, and the format that one of the
// vendor's SDKs sends instead.
func parseAmzDate(s string) (time.Time, bool) {
	for _, layout := range []string{sigV4Date, "20060102T150405-07:00"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}

// serviceOfHost returns the service that a host name of the vendor's contains. ok
// is false if it contains none.
func serviceOfHost(host string) (service string, ok bool) {
	name, _, _ := strings.Cut(strings.ToLower(host), ":")
	label, rest, _ := strings.Cut(name, ".")
	if !strings.HasSuffix(rest, "api.ksyun.com") || label == "internal" || label == "inner" {
		return "", false
	}
	return label, true
}

// regionOfHost returns the region in a host name of the vendor of the form
// service.region.api.ksyun.com; ok is false if the name contains none.
func regionOfHost(host string) (region string, ok bool) {
	name, _, _ := strings.Cut(strings.ToLower(host), ":")
	rest, ok := strings.CutSuffix(name, ".api.ksyun.com")
	_, region, found := strings.Cut(strings.TrimSuffix(rest, ".internal"), ".")
	return region, ok && found && strings.Contains(region, "-")
}

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
