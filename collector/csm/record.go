package csm

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ksyun-tap/ksyun-tap/classify"
)

// The record types.
const (
	typeAttempt = "ApiCallAttempt"
	typeCall    = "ApiCall"
)

// record holds the fields of a record that are used, with the SDK's names.
type record struct {
	Type      string
	Version   int
	API       string `json:"Api"`
	Service   string
	Region    string
	Fqdn      string
	UserAgent string
	Timestamp int64 // when the attempt ended, in milliseconds since the epoch

	// Of an ApiCallAttempt.
	AttemptLatency      int64 // milliseconds
	AccessKey           string
	SessionToken        string
	HTTPStatusCode      int    `json:"HttpStatusCode"`
	RequestID           string `json:"XAmznRequestId"`
	AWSException        string `json:"AwsException"`
	AWSExceptionMessage string `json:"AwsExceptionMessage"`
	SDKException        string `json:"SdkException"`
	SDKExceptionMessage string `json:"SdkExceptionMessage"`

	// Of an ApiCall.
	AttemptCount        int64
	FinalHTTPStatusCode int    `json:"FinalHttpStatusCode"`
	FinalAWSException   string `json:"FinalAwsException"`
}

// The limits of the values of a record.
const (
	maxLatency  = int64(24 * time.Hour / time.Millisecond)
	maxAttempts = 1000
	// maxSkew is the largest difference between a record's time and ours, which
	// are of the same machine. Beyond it, the current time is used.
	maxSkew = time.Minute
	// cutMessage is the length to which the SDK cuts messages, in bytes.
	cutMessage = 512
)

var (
	errUnknown   = errors.New("record of an unknown type or version")
	errMalformed = errors.New("malformed record")
)

// parse parses a datagram. Errors name the invalid field, never its value.
func parse(datagram []byte) (record, error) {
	var r record
	if err := json.Unmarshal(datagram, &r); err != nil {
		return record{}, errMalformed // the decoder's error may quote a secret
	}
	if r.Type != typeAttempt && r.Type != typeCall || r.Version != 0 && r.Version != 1 {
		return record{}, errUnknown
	}
	if field := r.wrong(); field != "" {
		return record{}, fmt.Errorf("%w: %s", errMalformed, field)
	}
	return r, nil
}

// wrong returns the name of a field with an impossible value, or "".
func (r *record) wrong() string {
	switch {
	case r.API == "":
		return "Api"
	case r.Timestamp <= 0:
		return "Timestamp"
	case r.AttemptLatency < 0 || r.AttemptLatency > maxLatency:
		return "AttemptLatency"
	case !isStatus(r.HTTPStatusCode):
		return "HttpStatusCode"
	case !isStatus(r.FinalHTTPStatusCode):
		return "FinalHttpStatusCode"
	case r.Type == typeCall && (r.AttemptCount < 1 || r.AttemptCount > maxAttempts):
		return "AttemptCount"
	}
	return ""
}

// isStatus reports whether n is an HTTP status, or 0 for none.
func isStatus(n int) bool { return n == 0 || 100 <= n && n <= 999 }

// operation splits the SDK's name of a service into its ID and the API version,
// as in "monitor-2010-05-25". The version may be missing.
func (r *record) operation() (service, version string) {
	const form = "-2006-01-02"
	if at := len(r.Service) - len(form); at > 0 {
		if _, err := time.Parse(form, r.Service[at:]); err == nil {
			return r.Service[:at], r.Service[at+1:]
		}
	}
	return r.Service, ""
}

// message parses the message of an error, which is
//
//	CODE: MESSAGE
//		status code: 403, request id: ID
//
// where CODE is the value of AwsException. id is "" if it may have been cut off.
func (r *record) message() (text, id string) {
	text = strings.TrimPrefix(r.AWSExceptionMessage, r.AWSException+": ")
	text, rest, ok := cutLast(text, "\n\tstatus code: ")
	if !ok || len(r.AWSExceptionMessage) >= cutMessage {
		return text, ""
	}
	_, id, _ = strings.Cut(rest, "request id: ")
	id, _, _ = strings.Cut(id, "\n") // a cause may follow
	id, _, _ = strings.Cut(id, ",")  // or a host ID
	return text, id
}

// cutLast is like strings.Cut, around the last instance of sep.
func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

// times returns when the attempt began and ended.
func (r *record) times(now time.Time) (start, end time.Time) {
	end = time.UnixMilli(r.Timestamp)
	if end.Sub(now).Abs() > maxSkew {
		end = now
	}
	return end.Add(-time.Duration(r.AttemptLatency) * time.Millisecond), end
}

// requestID returns the vendor's request ID of the attempt.
func (r *record) requestID(inMessage string) classify.RequestID {
	if id := classify.MakeRequestID(r.RequestID); !id.IsZero() {
		return id
	}
	return classify.MakeRequestID(inMessage)
}
