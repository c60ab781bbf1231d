package lookup

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"github.com/ksyun-tap/ksyun-tap/exporter/traces"
)

// diagnosisEvent is the name of the events for diagnoses.
const diagnosisEvent = traces.EventDiagnosis

// otlpTraces are spans in the JSON form of OTLP, as Jaeger and Tempo return them.
// Tempo's IDs are Base64.
type otlpTraces struct {
	ResourceSpans []otlpResource `json:"resourceSpans"`
	Batches       []otlpResource `json:"batches"` // the name in Tempo
}

type otlpResource struct {
	ScopeSpans []struct {
		Spans []struct {
			TraceID    string         `json:"traceId"`
			SpanID     string         `json:"spanId"`
			Start      otlpInt        `json:"startTimeUnixNano"`
			End        otlpInt        `json:"endTimeUnixNano"`
			Attributes otlpAttributes `json:"attributes"`
			Events     []struct {
				Name       string         `json:"name"`
				Attributes otlpAttributes `json:"attributes"`
			} `json:"events"`
			Status struct {
				Message string `json:"message"`
			} `json:"status"`
		} `json:"spans"`
	} `json:"scopeSpans"`
}

// otlpInt is an integer of 64 bits, which is text or a number.
type otlpInt int64

// UnmarshalJSON implements json.Unmarshaler. What is no integer is 0.
func (n *otlpInt) UnmarshalJSON(text []byte) error {
	i, _ := strconv.ParseInt(strings.Trim(string(text), `"`), 10, 64)
	*n = otlpInt(i)
	return nil
}

type otlpAttributes []struct {
	Key   string `json:"key"`
	Value struct {
		String *string         `json:"stringValue"`
		Int    *otlpInt        `json:"intValue"`
		Bool   *bool           `json:"boolValue"`
		Double json.RawMessage `json:"doubleValue"`
	} `json:"value"`
}

func (attributes otlpAttributes) fields() map[string]string {
	fields := make(map[string]string, len(attributes))
	for _, a := range attributes {
		switch v := a.Value; {
		case v.String != nil:
			fields[a.Key] = *v.String
		case v.Int != nil:
			fields[a.Key] = strconv.FormatInt(int64(*v.Int), 10)
		case v.Bool != nil:
			fields[a.Key] = strconv.FormatBool(*v.Bool)
		case v.Double != nil:
			fields[a.Key] = string(v.Double)
		}
	}
	return fields
}

// spans calls yield for each span.
func (t *otlpTraces) spans(yield func(*span)) {
	for _, resources := range [][]otlpResource{t.ResourceSpans, t.Batches} {
		for _, r := range resources {
			for _, scope := range r.ScopeSpans {
				for _, x := range scope.Spans {
					s := span{
						traceID: hexID(x.TraceID, 16), spanID: hexID(x.SpanID, 8), message: x.Status.Message,
						start: time.Unix(0, int64(x.Start)).UTC(), end: time.Unix(0, int64(x.End)).UTC(), attributes: x.Attributes.fields(),
					}
					for _, event := range x.Events {
						if event.Name == diagnosisEvent && s.diagnosis == nil {
							s.diagnosis = event.Attributes.fields()
						}
					}
					yield(&s)
				}
			}
		}
	}
}

// hexID returns an ID of size bytes in hexadecimal digits.
func hexID(text string, size int) string {
	if len(text) == 2*size {
		return strings.ToLower(text)
	}
	if id, err := base64.StdEncoding.DecodeString(text); err == nil && len(id) == size {
		return hex.EncodeToString(id)
	}
	return text
}
