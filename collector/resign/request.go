package resign

import (
	"bytes"
	"iter"
	"net/url"
	"strings"
	"time"
)

// Request is a request as it came, whole.
type Request struct {
	Method  []byte
	Target  []byte                    // in origin form
	Version []byte                    // "HTTP/1.1"
	Fields  iter.Seq2[[]byte, []byte] // name and value of every end-to-end field, in order
	Body    []byte                    // without framing
}

// scheme is how a request is signed.
type scheme uint8

const (
	schemeNone scheme = iota
	schemeHeader
	schemePresigned
	schemeSimple
)

// field is one header field.
type field struct {
	name  string // as it came
	lower string
	value string
}

// pair is one parameter of a query or form: as it came, and decoded.
type pair struct {
	raw, name, value string
}

// call is a request taken apart.
type call struct {
	method, path, version string

	query  []pair
	form   []pair // nil unless the body is a form
	fields []field
	body   []byte

	scheme scheme
	inForm bool // the simple signature is among the parameters of the form
	sigV4  sigV4
}

// sigV4 is what a request says of its own signature.
type sigV4 struct {
	accessKey, day, region, service, end string // the credential
	signed                               []string
	signature                            string
	date                                 string
}

const (
	algorithm       = "AWS4-HMAC-SHA256"
	unsignedPayload = "UNSIGNED-PAYLOAD"
	terminator      = "aws4_request"
)

// read takes a request apart.
func read(r *Request) *call {
	path, query, _ := bytes.Cut(r.Target, []byte{'?'})
	c := &call{
		method: string(r.Method), path: string(path), version: string(r.Version),
		query: pairs(string(query)), body: r.Body,
	}
	for name, value := range r.Fields {
		c.fields = append(c.fields, field{string(name), strings.ToLower(string(name)), string(value)})
	}
	if media, _, _ := strings.Cut(c.get("content-type"), ";"); strings.EqualFold(strings.TrimSpace(media), "application/x-www-form-urlencoded") {
		c.form = pairs(string(r.Body))
	}
	c.findSignature()
	return c
}

func (c *call) findSignature() {
	v := &c.sigV4
	if authorization := c.get("authorization"); authorization != "" {
		c.scheme = schemeHeader
		kind, rest, _ := strings.Cut(authorization, " ")
		if kind != algorithm {
			return
		}
		for part := range strings.SplitSeq(rest, ",") {
			switch name, value, _ := strings.Cut(strings.TrimSpace(part), "="); name {
			case "Credential":
				v.setCredential(value)
			case "SignedHeaders":
				v.signed = strings.Split(value, ";")
			case "Signature":
				v.signature = value
			}
		}
		v.date = c.get("x-amz-date")
		return
	}
	if a, ok := find(c.query, "X-Amz-Algorithm"); ok {
		c.scheme = schemePresigned
		if a != algorithm {
			return
		}
		credential, _ := find(c.query, "X-Amz-Credential")
		v.setCredential(credential)
		signed, _ := find(c.query, "X-Amz-SignedHeaders")
		v.signed = strings.Split(signed, ";")
		v.signature, _ = find(c.query, "X-Amz-Signature")
		v.date, _ = find(c.query, "X-Amz-Date")
		return
	}
	for _, name := range []string{"Accesskey", "Signature"} {
		if _, ok := find(c.query, name); ok {
			c.scheme = schemeSimple
			return
		}
		if _, ok := find(c.form, name); ok {
			c.scheme, c.inForm = schemeSimple, true
			return
		}
	}
}

func (v *sigV4) setCredential(s string) {
	if parts := strings.Split(s, "/"); len(parts) == 5 {
		v.accessKey, v.day, v.region, v.service, v.end = parts[0], parts[1], parts[2], parts[3], parts[4]
	}
}

// get returns the first value of a field, whose name is given in lower case.
func (c *call) get(name string) string {
	for i := range c.fields {
		if c.fields[i].lower == name {
			return c.fields[i].value
		}
	}
	return ""
}

// pairs takes a query or a form apart. What is not well-formed stands for
// itself, as at the vendor's gateway.
func pairs(s string) []pair {
	var all []pair
	for raw := range strings.SplitSeq(s, "&") {
		if raw == "" {
			continue
		}
		name, value, _ := strings.Cut(raw, "=")
		n, err := url.QueryUnescape(name)
		v, err2 := url.QueryUnescape(value)
		if err != nil || err2 != nil {
			n, v = name, value
		}
		all = append(all, pair{raw, n, v})
	}
	return all
}

func find(all []pair, name string) (string, bool) {
	for i := range all {
		if all[i].name == name {
			return all[i].value, true
		}
	}
	return "", false
}

// parseTime reads SigV4's time, and the form that sdk-node sends in its place.
func parseTime(s string) (time.Time, bool) {
	for _, layout := range []string{dateLayout, "20060102T150405-07:00", time.RFC3339} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}
