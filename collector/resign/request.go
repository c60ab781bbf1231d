package resign

import (
	"bytes"
	"iter"
	"net/url"
	"strings"
	"time"

	"github.com/ksyun-tap/ksyun-tap/classify/syntax"
)

// Request is a complete request as the program sent it.
type Request struct {
	Method  []byte
	Target  []byte                    // in origin form
	Version []byte                    // "HTTP/1.1"
	Fields  iter.Seq2[[]byte, []byte] // name and value of each end-to-end field, in order
	Body    []byte                    // without chunked framing
}

// scheme is the signature scheme of a request.
type scheme uint8

const (
	schemeNone scheme = iota
	schemeHeader
	schemePresigned
	schemeSimple
)

// field is one header field.
type field struct {
	name  string // as received
	lower string
	value string
}

// pair is one parameter of a query or form: as received, and decoded.
type pair struct {
	raw, name, value string
}

// call is a parsed request.
type call struct {
	method, path, version string

	query  []pair
	form   []pair // nil unless the body is a form
	fields []field
	body   []byte

	scheme scheme
	inForm bool // the simple signature is in the form, not in the query
	sigV4  sigV4
}

// sigV4 holds the parts of a SigV4 signature.
type sigV4 struct {
	accessKey, day, region, service, end string // from the Credential
	signed                               []string
	signature                            string
	date                                 string
}

const (
	algorithm       = "AWS4-HMAC-SHA256"
	unsignedPayload = "UNSIGNED-PAYLOAD"
	terminator      = "aws4_request"
)

// read parses a request.
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

// findSignature sets the scheme, and the parts of a SigV4 signature.
func (c *call) findSignature() {
	v := &c.sigV4
	if authorization := c.get("authorization"); authorization != "" {
		c.scheme = schemeHeader
		kind, parameters, _ := strings.Cut(authorization, " ")
		if kind != algorithm {
			return
		}
		for list := []byte(parameters); len(list) > 0; {
			var name, value []byte
			name, value, list = syntax.CutParameter(list)
			switch string(name) {
			case "Credential":
				v.setCredential(string(value))
			case "SignedHeaders":
				v.signed = strings.Split(string(value), ";")
			case "Signature":
				v.signature = string(value)
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

// get returns the first value of a field. name is in lower case.
func (c *call) get(name string) string {
	for i := range c.fields {
		if c.fields[i].lower == name {
			return c.fields[i].value
		}
	}
	return ""
}

// pairs parses a query or a form. A parameter that is not validly encoded is
// taken literally, as the vendor's gateway does.
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

// parseTime parses the time of a SigV4 signature, and the format that the
// vendor's Node SDK sends instead.
func parseTime(s string) (time.Time, bool) {
	for _, layout := range []string{dateLayout, "20060102T150405-07:00", time.RFC3339} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}
