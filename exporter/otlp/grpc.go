package otlp

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	_ "google.golang.org/grpc/encoding/gzip" // the compressor "gzip"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// overGRPC sends requests of OTLP over HTTP by gRPC. Both carry the same messages.
// It is much smaller than the SDK's exporters for gRPC, of which there is one for
// each signal.
type overGRPC struct {
	conn    *grpc.ClientConn
	options []grpc.CallOption
	headers metadata.MD
}

// methods are the gRPC methods by the path of the request.
var methods = map[string]string{
	"/v1/traces":  "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
	"/v1/logs":    "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
	"/v1/metrics": "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
}

// newOverGRPC returns a transport to s.Target.
func newOverGRPC(s *Signal, find ProxyFunc) (*overGRPC, error) {
	conn, err := grpc.NewClient(s.Target, grpc.WithTransportCredentials(s.credentials()), s.dialOption(find))
	if err != nil {
		return nil, err
	}
	t := &overGRPC{conn: conn, options: []grpc.CallOption{grpc.ForceCodec(raw{})}, headers: metadata.New(s.Headers)}
	if s.Gzip {
		t.options = append(t.options, grpc.UseCompressor("gzip"))
	}
	return t, nil
}

// RoundTrip implements http.RoundTripper. An error of the backend is a response
// with the corresponding status, so that the SDK knows what to send again.
func (t *overGRPC) RoundTrip(r *http.Request) (*http.Response, error) {
	method, known := methods[r.URL.Path]
	if !known {
		return nil, fmt.Errorf("no gRPC method for %s", r.URL.Path)
	}
	message, err := io.ReadAll(r.Body)
	_ = r.Body.Close()
	if err != nil {
		return nil, err
	}
	var reply []byte
	err = t.conn.Invoke(metadata.NewOutgoingContext(r.Context(), t.headers), method, &message, &reply, t.options...)
	code := httpStatus(status.Code(err))
	if err != nil {
		if ctxErr := context.Cause(r.Context()); ctxErr != nil {
			return nil, ctxErr
		}
		reply = []byte(err.Error())
	}
	return &http.Response{
		StatusCode: code, Status: fmt.Sprintf("%d %s", code, http.StatusText(code)),
		Proto: "HTTP/2.0", ProtoMajor: 2,
		Header:  http.Header{"Content-Type": {"application/x-protobuf"}},
		Body:    io.NopCloser(bytes.NewReader(reply)),
		Request: r,
	}, nil
}

// httpStatus returns the status that OTLP over HTTP has for a gRPC code: those of
// which the request may be sent again remain so.
func httpStatus(c codes.Code) int {
	switch c {
	case codes.OK:
		return http.StatusOK
	case codes.Unavailable, codes.Canceled, codes.Aborted, codes.OutOfRange, codes.DataLoss:
		return http.StatusServiceUnavailable
	case codes.DeadlineExceeded:
		return http.StatusGatewayTimeout
	case codes.ResourceExhausted:
		return http.StatusTooManyRequests
	case codes.Unauthenticated:
		return http.StatusUnauthorized
	case codes.PermissionDenied:
		return http.StatusForbidden
	case codes.Unimplemented:
		return http.StatusNotFound
	default:
		return http.StatusBadRequest
	}
}

// CloseIdleConnections closes the connection. It is called by the method of the
// same name of http.Client.
func (t *overGRPC) CloseIdleConnections() { _ = t.conn.Close() }

// raw is a codec for messages that are encoded already.
type raw struct{}

// Marshal implements encoding.Codec.
func (raw) Marshal(v any) ([]byte, error) { return *v.(*[]byte), nil }

// Unmarshal implements encoding.Codec.
func (raw) Unmarshal(data []byte, v any) error {
	*v.(*[]byte) = slices.Clone(data)
	return nil
}

// Name implements encoding.Codec.
func (raw) Name() string { return "proto" }
