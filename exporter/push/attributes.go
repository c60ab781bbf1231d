package push

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/resource"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	"go.uber.org/zap/zapcore"

	"github.com/ksyun-tap/ksyun-tap/exporter/otlp"
)

// origin describes this program in requests.
type origin struct {
	resource        *resource.Resource
	version, schema string // of the scopes
}

// encode returns the resource and the scope with a name.
func (o origin) encode(scope string) (*resourcepb.Resource, *commonpb.InstrumentationScope) {
	r := &resourcepb.Resource{}
	for _, kv := range o.resource.Attributes() {
		value := textValue(kv.Value.AsString())
		if kv.Value.Type() == attribute.INT64 {
			value = intValue(kv.Value.AsInt64())
		}
		r.Attributes = append(r.Attributes, &commonpb.KeyValue{Key: string(kv.Key), Value: value})
	}
	return r, &commonpb.InstrumentationScope{Name: scope, Version: o.version}
}

// pair returns an attribute that is a text.
func pair(key, value string) *commonpb.KeyValue {
	return &commonpb.KeyValue{Key: key, Value: textValue(value)}
}

// fieldEncoder encodes the fields of a line as attributes, in their order. Those of rare
// types are collected by zap's encoder and come last.
type fieldEncoder struct {
	*zapcore.MapObjectEncoder
	attributes []*commonpb.KeyValue
}

func (e *fieldEncoder) add(key string, value *commonpb.AnyValue) {
	e.attributes = append(e.attributes, &commonpb.KeyValue{Key: key, Value: value})
}

// AddString implements zapcore.ObjectEncoder.
func (e *fieldEncoder) AddString(key, value string) { e.add(key, textValue(value)) }

// AddBool implements zapcore.ObjectEncoder.
func (e *fieldEncoder) AddBool(key string, value bool) { e.add(key, anyValue(value)) }

// AddInt implements zapcore.ObjectEncoder.
func (e *fieldEncoder) AddInt(key string, value int) { e.add(key, intValue(int64(value))) }

// AddInt64 implements zapcore.ObjectEncoder.
func (e *fieldEncoder) AddInt64(key string, value int64) { e.add(key, intValue(value)) }

// AddFloat64 implements zapcore.ObjectEncoder.
func (e *fieldEncoder) AddFloat64(key string, value float64) { e.add(key, doubleValue(value)) }

// encodeFields returns the attributes of fields.
func encodeFields(fields []zapcore.Field) []*commonpb.KeyValue {
	e := fieldEncoder{zapcore.NewMapObjectEncoder(), make([]*commonpb.KeyValue, 0, len(fields))}
	for _, f := range fields {
		if err, ok := f.Interface.(error); ok && f.Type == zapcore.ErrorType {
			e.AddString("exception.message", err.Error())
			continue
		}
		f.AddTo(&e)
	}
	return appendMap(e.attributes, e.Fields)
}

func appendMap(all []*commonpb.KeyValue, m map[string]any) []*commonpb.KeyValue {
	for _, key := range slices.Sorted(maps.Keys(m)) {
		all = append(all, &commonpb.KeyValue{Key: key, Value: anyValue(m[key])})
	}
	return all
}

// anyValue returns a value of one of the types of zapcore.MapObjectEncoder. Times and
// durations are in nanoseconds. Values of other types are texts in JSON.
func anyValue(value any) *commonpb.AnyValue {
	switch v := value.(type) {
	case string:
		return textValue(v)
	case bool:
		return &commonpb.AnyValue{Value: &commonpb.AnyValue_BoolValue{BoolValue: v}}
	case time.Time:
		return intValue(v.UnixNano())
	case []byte:
		return &commonpb.AnyValue{Value: &commonpb.AnyValue_BytesValue{BytesValue: v}}
	case []any:
		list := &commonpb.ArrayValue{}
		for _, one := range v {
			list.Values = append(list.Values, anyValue(one))
		}
		return &commonpb.AnyValue{Value: &commonpb.AnyValue_ArrayValue{ArrayValue: list}}
	case map[string]any:
		return &commonpb.AnyValue{Value: &commonpb.AnyValue_KvlistValue{KvlistValue: &commonpb.KeyValueList{Values: appendMap(nil, v)}}}
	}
	switch v := reflect.ValueOf(value); {
	case v.CanInt():
		return intValue(v.Int())
	case v.CanUint() && v.Uint() <= math.MaxInt64:
		return intValue(int64(v.Uint())) //nolint:gosec // it fits
	case v.CanUint():
		return doubleValue(float64(v.Uint()))
	case v.CanFloat():
		return doubleValue(v.Float())
	}
	out, err := json.Marshal(value)
	if err != nil {
		return textValue(fmt.Sprint(value))
	}
	return textValue(string(out))
}

// textValue returns s, in which bytes that are not valid UTF-8 are replaced: protobuf
// refuses them.
func textValue(s string) *commonpb.AnyValue {
	return &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: strings.ToValidUTF8(s, "\uFFFD")}}
}

func intValue(n int64) *commonpb.AnyValue {
	return &commonpb.AnyValue{Value: &commonpb.AnyValue_IntValue{IntValue: n}}
}

func doubleValue(f float64) *commonpb.AnyValue {
	return &commonpb.AnyValue{Value: &commonpb.AnyValue_DoubleValue{DoubleValue: f}}
}

// truncate shortens the texts in v.
func truncate(v *commonpb.AnyValue, limits otlp.Limits) {
	switch v := v.GetValue().(type) {
	case *commonpb.AnyValue_StringValue:
		v.StringValue = limits.Truncate(v.StringValue)
	case *commonpb.AnyValue_ArrayValue:
		for _, one := range v.ArrayValue.GetValues() {
			truncate(one, limits)
		}
	case *commonpb.AnyValue_KvlistValue:
		for _, kv := range v.KvlistValue.GetValues() {
			truncate(kv.GetValue(), limits)
		}
	}
}
