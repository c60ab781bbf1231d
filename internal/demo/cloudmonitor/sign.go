package cloudmonitor

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Scope is the credential scope of a SigV4 signature.
type Scope struct {
	Region  string
	Service string
}

// SignV4 signs a request with SigV4 in its Authorization field. It signs host,
// x-amz-date, and the request's fields that are named in signed. body is the
// request's whole body.
func SignV4(r *http.Request, body []byte, c Credential, scope Scope, at time.Time, signed ...string) {
	r.Header.Set("X-Amz-Date", at.UTC().Format(sigV4Date))
	if c.Token != "" {
		r.Header.Set("X-Amz-Security-Token", c.Token)
	}
	names := append([]string{"host", "x-amz-date"}, signed...)
	slices.Sort(names)
	v := newSigV4(c, scope, at, names)
	v.signature = signatureV4(c.SecretKey, v, canonicalRequest(outgoing(r), names, payload(r, body)))
	r.Header.Set("Authorization", sigV4Algorithm+" Credential="+strings.Join(v.scope[:], "/")+
		", SignedHeaders="+strings.Join(names, ";")+", Signature="+v.signature)
}

// payload is what stands for the body in what is signed: its hash, or the word
// that it is not signed.
func payload(r *http.Request, body []byte) string {
	if r.Header.Get("X-Amz-Content-Sha256") == unsignedPayload {
		return unsignedPayload
	}
	return hexSHA256(body)
}

// Presign signs a request with SigV4 in its query.
func Presign(r *http.Request, body []byte, c Credential, scope Scope, at time.Time) {
	v := newSigV4(c, scope, at, []string{"host"})
	q := r.URL.Query()
	q.Set("X-Amz-Algorithm", sigV4Algorithm)
	q.Set("X-Amz-Credential", strings.Join(v.scope[:], "/"))
	q.Set("X-Amz-Date", v.date)
	q.Set("X-Amz-SignedHeaders", "host")
	if c.Token != "" {
		q.Set("X-Amz-Security-Token", c.Token)
	}
	r.URL.RawQuery = q.Encode()
	v.signature = signatureV4(c.SecretKey, v, canonicalRequest(outgoing(r), v.signed, payload(r, body)))
	r.URL.RawQuery += "&X-Amz-Signature=" + v.signature
}

// SignSimple adds the vendor's simple signature to the parameters of a call.
func SignSimple(params url.Values, c Credential, service string, at time.Time) {
	params.Set("Accesskey", c.AccessKey)
	params.Set("Service", service)
	params.Set("SignatureVersion", "1.0")
	params.Set("SignatureMethod", "HMAC-SHA256")
	params.Set("Timestamp", at.UTC().Format(time.RFC3339))
	if c.Token != "" {
		params.Set("SecurityToken", c.Token)
	}
	params.Set("Signature", signatureSimple(c.SecretKey, params))
}

func newSigV4(c Credential, scope Scope, at time.Time, signed []string) sigV4 {
	return sigV4{
		scope:  [5]string{c.AccessKey, at.UTC().Format("20060102"), scope.Region, scope.Service, "aws4_request"},
		signed: signed,
		date:   at.UTC().Format(sigV4Date),
	}
}

// outgoing returns the request as the server will receive it.
func outgoing(r *http.Request) *http.Request {
	c := r.Clone(r.Context())
	c.RequestURI = r.URL.RequestURI()
	c.URL = &url.URL{Path: r.URL.Path, RawPath: r.URL.RawPath, RawQuery: r.URL.RawQuery}
	c.Host = cmp.Or(c.Host, r.URL.Host)
	return c
}
