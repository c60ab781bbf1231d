package traces

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io"
	"slices"

	"go.opentelemetry.io/otel/exporters/stdout/stdouttrace"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/ksyun-tap/ksyun-tap/exporter/otlp"
)

// exporter sends the spans of attempts to a backend.
type exporter = otlp.Exporter[recorded]

// newExporter returns the exporter of spans of from that s selects, or nil if there is none. It
// sets every option, to override what the SDK reads from the environment.
func newExporter(s *otlp.Signal, console io.Writer, find otlp.ProxyFunc, from *origin) (exporter, error) {
	var all exporters
	if s.OTLP {
		all = append(all, newSender(s, find, from))
	}
	if s.Console && console != nil {
		x, err := stdouttrace.New(stdouttrace.WithWriter(console))
		if err != nil {
			return nil, err
		}
		all = append(all, snapshots{x, from})
	}
	switch len(all) {
	case 0:
		return nil, nil //nolint:nilnil // no exporter, and no error
	case 1:
		return all[0], nil
	}
	return all, nil
}

// newSender returns an exporter by OTLP.
func newSender(s *otlp.Signal, find otlp.ProxyFunc, from *origin) exporter {
	sender := otlp.NewClient(s, find)
	if s.Protocol == otlp.ProtocolJSON {
		return &encoder{client: asJSON{sender}, origin: from}
	}
	return &encoder{client: sender, origin: from}
}

// asJSON sends requests as JSON.
type asJSON struct{ client }

// Send implements client.
func (c asJSON) Send(ctx context.Context, parts ...[]byte) error {
	var all tracepb.TracesData // has the fields of a request
	if err := proto.Unmarshal(slices.Concat(parts...), &all); err != nil {
		return err
	}
	for _, resource := range all.GetResourceSpans() {
		for _, scope := range resource.GetScopeSpans() {
			for _, s := range scope.GetSpans() {
				s.TraceId, s.SpanId, s.ParentSpanId = asHex(s.GetTraceId()), asHex(s.GetSpanId()), asHex(s.GetParentSpanId())
				for _, l := range s.GetLinks() {
					l.TraceId, l.SpanId = asHex(l.GetTraceId()), asHex(l.GetSpanId())
				}
			}
		}
	}
	text, err := protojson.MarshalOptions{UseEnumNumbers: true}.Marshal(&all)
	if err != nil {
		return err
	}
	return c.client.Send(ctx, text)
}

// asHex returns the bytes whose base64 form is the hexadecimal form of id. JSON has
// bytes in base64, but the IDs of OTLP in hexadecimal.
func asHex(id []byte) []byte {
	coded, _ := base64.StdEncoding.DecodeString(hex.EncodeToString(id)) // of 0, 16 or 32 digits
	return coded
}

// exporters passes spans to several exporters.
type exporters []exporter

// batches are the batches of several exporters.
type batches []otlp.Batch[recorded]

// NewBatch implements otlp.Exporter.
func (all exporters) NewBatch() otlp.Batch[recorded] {
	b := make(batches, len(all))
	for i, x := range all {
		b[i] = x.NewBatch()
	}
	return b
}

// Add implements otlp.Batch.
func (all batches) Add(a recorded) (size int) {
	for _, b := range all {
		size += b.Add(a)
	}
	return size
}

// Export implements otlp.Batch.
func (all batches) Export(ctx context.Context) error {
	var errs []error
	for _, b := range all {
		errs = append(errs, b.Export(ctx))
	}
	return errors.Join(errs...)
}

// Shutdown implements otlp.Exporter.
func (all exporters) Shutdown(ctx context.Context) error {
	var errs []error
	for _, x := range all {
		errs = append(errs, x.Shutdown(ctx))
	}
	return errors.Join(errs...)
}
