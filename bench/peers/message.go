//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

const (
	host = "monitor.api.ksyun.com"

	// A call's number has digits decimal digits. It is sent in the request's
	// InstanceID and returned in the response's request ID, so that a response to
	// another call is detected. The first digit selects the response.
	digits    = 12
	wantError = '1'
	marker    = "InstanceID=00000000-aaaa-4bbb-8ccc-"

	maxHead = 8 << 10 // of a response, in bytes
)

// requestBytes returns a signed call as sent by the vendor's SDK for Go, and the offset
// of its number.
func requestBytes() (request []byte, number int) {
	request = []byte("GET /?Action=GetMetricStatistics&Version=2010-05-25&Namespace=KEC&MetricName=cpu.utilizition.total" +
		"&" + marker + strings.Repeat("0", digits) + "&StartTime=2026-11-01T00:00:00Z&EndTime=2026-11-01T01:00:00Z&Period=60 HTTP/1.1\r\n" +
		"Host: " + host + "\r\nUser-Agent: aws-sdk-go/1.44.204 (go1.26; linux; amd64)\r\nAccept: application/json\r\n" +
		"Authorization: AWS4-HMAC-SHA256 Credential=AKLTbench/20261101/cn-beijing-6/monitor/aws4_request, " +
		"SignedHeaders=accept;content-type;host;x-amz-date, Signature=" + strings.Repeat("0", 64) + "\r\n" +
		"Content-Type: application/x-www-form-urlencoded; charset=utf-8\r\nX-Amz-Date: 20261101T000000Z\r\nAccept-Encoding: gzip\r\n\r\n")
	return request, bytes.Index(request, []byte(marker)) + len(marker)
}

// numberOf returns the number of the call in a request's head, or nil if it has none.
func numberOf(head []byte) []byte {
	i := bytes.Index(head, []byte(marker))
	if i < 0 || len(head) < i+len(marker)+digits {
		return nil
	}
	return head[i+len(marker):][:digits]
}

// response is an HTTP response with room for a call's number.
type response struct {
	status         int
	wire           []byte // head and body
	body           []byte // the end of wire
	inHead, inBody int    // offsets of the number in wire and in body
}

// responses are the responses of the upstream: a success with a body of a given size, and
// an error.
type responses struct{ success, failure response }

func newResponses(size int) *responses {
	// Version 1: the tap takes one of version 4 for random, and samples by it.
	const blank = "00000000-1111-1222-8333-000000000000"
	make := func(status int, text, body string) response {
		head := fmt.Sprintf("HTTP/1.1 %d %s\r\nServer: bench\r\nDate: Sun, 01 Nov 2026 00:00:00 GMT\r\n"+
			"Content-Type: application/json;charset=UTF-8\r\nX-KSC-REQUEST-ID: %s\r\nContent-Length: %d\r\n\r\n", status, text, blank, len(body))
		wire := []byte(head + body)
		offset := func(s string) int { return strings.Index(s, blank) + len(blank) - digits }
		return response{status: status, wire: wire, body: wire[len(head):], inHead: offset(head), inBody: offset(body)}
	}
	prefix, label := `{"getMetricStatisticsResult":{"datapoints":{"member":[`, `]},"label":"cpu.utilizition.total`
	suffix := `"},"responseMetadata":{"requestId":"` + blank + `"}}`
	member := `{"timestamp":"2026-03-18T06:00:00Z","unixTimestamp":1773813600000,"average":"1.25","max":"2.0","min":"0.5"}`
	body := prefix + member
	for len(body)+len(label)+len(suffix)+len(member)+1 <= size {
		body += "," + member
	}
	body += label
	body += strings.Repeat(".", max(0, size-len(body)-len(suffix))) + suffix
	return &responses{
		success: make(200, "OK", body),
		failure: make(409, "Conflict", `{"requestid":"`+blank+`","error":{"type":"sender","code":"LimitExceeded","message":"Request was rejected because the request speed of this openAPI is beyond the current flow control limit."}}`),
	}
}

// to returns the response to the call with this number.
func (a *responses) to(number []byte) *response {
	if number[0] == wantError {
		return &a.failure
	}
	return &a.success
}

// fill writes a call's number into the response and returns the whole response.
func (a *response) fill(number []byte) []byte {
	copy(a.wire[a.inHead:], number)
	copy(a.body[a.inBody:], number)
	return a.wire
}

// checker checks one response, byte by byte, as it arrives.
type checker struct {
	want   *response
	number [digits]byte
	head   []byte // as much as has arrived
	offset int    // in the body; -1 while the head is not complete
}

// expect prepares for the response to the call with this number.
func (r *checker) expect(want *response, number []byte) {
	r.want, r.head, r.offset = want, r.head[:0], -1
	copy(r.number[:], number)
}

// feed checks the next bytes. It reports whether the response is complete, or returns
// how it differs from the expected one.
func (r *checker) feed(p []byte) (complete bool, err error) {
	if r.offset < 0 {
		r.head = append(r.head, p...)
		end := bytes.Index(r.head, []byte("\r\n\r\n"))
		if end < 0 && len(r.head) < maxHead {
			return false, nil
		}
		if end < 0 || end+4 > maxHead {
			return false, fmt.Errorf("the head is longer than %d bytes: %.80q", maxHead, r.head)
		}
		length, err := r.checkHead(r.head[:end+2])
		if err != nil {
			return false, fmt.Errorf("%w in %.400q", err, r.head)
		}
		if length != len(r.want.body) {
			return false, fmt.Errorf("Content-Length is %d, want %d", length, len(r.want.body))
		}
		p, r.offset = r.head[end+4:], 0
	}
	if !r.matches(p) {
		return false, fmt.Errorf("call %s: the body differs from what was sent within %d bytes of offset %d: %.200q", r.number, len(p), r.offset, p)
	}
	r.offset += len(p)
	return r.offset == len(r.want.body), nil
}

// checkHead checks a head, which includes its last CRLF, and returns the
// Content-Length.
func (r *checker) checkHead(head []byte) (length int, err error) {
	status, fields, _ := bytes.Cut(head, []byte("\r\n"))
	if want := strconv.AppendInt([]byte("HTTP/1.1 "), int64(r.want.status), 10); !bytes.HasPrefix(status, want) {
		return 0, fmt.Errorf("status is not %d", r.want.status)
	}
	length = -1
	for line := range bytes.Lines(fields) {
		name, value, _ := bytes.Cut(line, []byte(":"))
		if bytes.EqualFold(name, []byte("Content-Length")) {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return 0, err
			}
		}
	}
	if length < 0 {
		return 0, errors.New("no Content-Length")
	}
	return length, nil
}

// matches compares the next bytes of the body with those that were sent.
func (r *checker) matches(p []byte) bool {
	body, at := r.want.body, r.want.inBody
	from, to := r.offset, r.offset+len(p)
	if to > len(body) {
		return false
	}
	same := func(start int, part []byte) bool {
		lo, hi := max(from, start), min(to, start+len(part))
		return lo >= hi || bytes.Equal(p[lo-from:hi-from], part[lo-start:hi-start])
	}
	return same(0, body[:at]) && same(at, r.number[:]) && same(at+digits, body[at+digits:])
}
