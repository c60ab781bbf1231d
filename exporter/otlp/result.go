package otlp

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

const mediaProtobuf = "application/x-protobuf"

// frameHeader is the size in bytes of what precedes a message of gRPC: whether it is
// compressed, and its size.
const frameHeader = 5

// maxQuoted is the maximum size in bytes of what an error quotes of a response.
const maxQuoted = 300

// httpResult returns nil if the response says that the backend has accepted the
// request. If it should be sent again, the error is a temporary.
func httpResult(resp *http.Response, reply []byte) error {
	if resp.StatusCode/100 == 2 {
		if resp.Header.Get("Content-Type") != mediaProtobuf {
			return nil
		}
		return rejected(reply)
	}
	err := fmt.Errorf("the backend responded %s: %.*q", resp.Status, maxQuoted, reply)
	switch resp.StatusCode {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return &temporary{err, retryAfter(resp.Header.Get("Retry-After"))}
	}
	return err
}

// retryAfter returns the time in a field Retry-After, or 0.
func retryAfter(field string) time.Duration {
	if seconds, err := strconv.ParseUint(field, 10, 20); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(field); err == nil {
		return time.Until(at)
	}
	return 0
}

// retried are the names of the gRPC codes after which a request is sent again.
var retried = map[string]string{
	"1": "CANCELLED", "4": "DEADLINE_EXCEEDED", "8": "RESOURCE_EXHAUSTED", "10": "ABORTED", "11": "OUT_OF_RANGE", "14": "UNAVAILABLE", "15": "DATA_LOSS",
}

// grpcResult is httpResult for gRPC: status and message are those of the trailer.
func grpcResult(status, message string, reply []byte) error {
	switch status {
	case "0":
		if len(reply) < frameHeader || reply[0] != 0 {
			return nil
		}
		return rejected(reply[frameHeader:])
	case "":
		return errors.New("the backend responded without a gRPC status")
	}
	if text, err := url.PathUnescape(message); err == nil {
		message = text
	}
	err := fmt.Errorf("the backend responded with gRPC status %s: %.*q", cmp.Or(retried[status], status), maxQuoted, message)
	if retried[status] != "" {
		return &temporary{error: err}
	}
	return err
}

// The field numbers of Export*ServiceResponse and Export*PartialSuccess, which are the
// same for all signals.
const (
	partialSuccess  = 1
	partialRejected = 1
	partialMessage  = 2
)

// rejected returns an error if the reply says that the backend has rejected a part of
// the request.
func rejected(reply []byte) error {
	partial, _ := lastField(reply, partialSuccess)
	message, _ := lastField(partial, partialMessage)
	_, n := lastField(partial, partialRejected)
	if n == 0 && len(message) == 0 {
		return nil
	}
	return fmt.Errorf("the backend rejected %d items: %.*q", n, maxQuoted, message)
}

// lastField returns the value of the last field with a number, which is of type bytes
// or varint.
func lastField(message []byte, number protowire.Number) (text []byte, n uint64) {
	for len(message) > 0 {
		field, kind, size := protowire.ConsumeTag(message)
		if size < 0 {
			break
		}
		message = message[size:]
		if size = protowire.ConsumeFieldValue(field, kind, message); size < 0 {
			break
		}
		switch {
		case field != number:
		case kind == protowire.BytesType:
			text, _ = protowire.ConsumeBytes(message)
		case kind == protowire.VarintType:
			n, _ = protowire.ConsumeVarint(message)
		}
		message = message[size:]
	}
	return text, n
}
