// Package otlp contains what is common to sending spans, log records and metrics
// to an OpenTelemetry backend: the settings from OpenTelemetry's environment variables,
// the resource that describes this program, connections, and a bounded queue.
//
// Invalid variables are ignored and reported (see Environment.Problems); they never keep the
// program from running.
package otlp

import (
	"math"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/ksyun-tap/ksyun-tap/usererror"
)

// Environment holds the settings from the OTEL_* variables, read as OpenTelemetry
// specifies: surrounding spaces and the case of keywords are ignored, and an
// invalid value is treated as unset. Numbers are within bounds. The values that
// the SDK reads itself are overridden.
type Environment struct {
	// Problems lists the ignored variables in the order in which they were read.
	Problems []usererror.Ignored

	Traces, Logs, Metrics Signal

	// SpanLimits and LogLimits are limits of attributes.
	SpanLimits, LogLimits Limits

	// MetricInterval is the time between two exports of metrics.
	MetricInterval time.Duration

	resource []attribute.KeyValue
	instance string // service.instance.id, a random UUID as OpenTelemetry recommends
}

// Limits are limits of the attributes of one span or log record.
type Limits struct {
	Length int // maximum length of a value in characters; negative for no limit
	Count  int // maximum number of attributes
}

// Truncate returns the first characters of a text, which is valid UTF-8.
func (l Limits) Truncate(text string) string {
	if l.Length < 0 || len(text) <= l.Length {
		return text
	}
	n := l.Length
	for i := range text {
		if n--; n < 0 {
			return text[:i]
		}
	}
	return text
}

// Bounds of numbers. A waiting span takes a few kilobytes.
const (
	maxQueueSize = 100_000
	maxMillis    = 3_600_000
)

// ReadEnvironment reads the OTEL_* variables with getenv. If OTEL_CONFIG_FILE names a
// valid file, what it sets is read instead.
func ReadEnvironment(getenv func(string) string) *Environment {
	r := reader{getenv: getenv, e: &Environment{instance: uuid.NewString()}}
	if name := r.get(configFile); name != "" {
		file, err := readConfigFile(name, getenv)
		switch {
		case err != nil:
			r.ignore(configFile, err.Error()+"; the other variables of OpenTelemetry apply")
		default:
			r.getenv = func(variable string) string { return file.values[variable] }
			if problem := file.problem(); problem != "" {
				r.ignore(configFile, problem)
			}
		}
	}
	disabled := r.boolean("OTEL_SDK_DISABLED")
	for _, s := range []struct {
		kind
		to *Signal
	}{
		{kind{name: "TRACES", path: "v1/traces", batches: "OTEL_BSP_", console: true, byEndpoint: true, json: true, delay: sdktrace.DefaultScheduleDelay}, &r.e.Traces},
		{kind{name: "LOGS", path: "v1/logs", batches: "OTEL_BLRP_", delay: 1000}, &r.e.Logs},
		{kind{name: "METRICS", path: "v1/metrics", also: "prometheus"}, &r.e.Metrics}, // which is always served
	} {
		signal := signalReader{reader: &r, kind: s.kind, to: s.to}
		s.to.path = s.path
		if !disabled {
			signal.exporters()
		}
		if s.to.OTLP {
			signal.otlp()
		}
		signal.batch()
	}
	r.metrics()
	r.limits()
	r.resource()
	return r.e
}

// reader reads variables into e.
type reader struct {
	getenv func(string) string
	e      *Environment
}

// get returns the value of a variable, or "" if it is unset or blank.
func (r *reader) get(name string) string { return strings.TrimSpace(r.getenv(name)) }

// ignore reports a variable, once even if it applies to several signals.
func (r *reader) ignore(name, reason string) {
	if p := (usererror.Ignored{Variable: name, Reason: reason}); !slices.Contains(r.e.Problems, p) {
		r.e.Problems = append(r.e.Problems, p)
	}
}

// boolean reads a boolean variable. Every value except true is false.
func (r *reader) boolean(name string) bool {
	v := strings.ToLower(r.get(name))
	if v != "" && v != "true" && v != "false" {
		r.ignore(name, "is neither true nor false; false is used")
	}
	return v == "true"
}

// choice returns the value of the first variable that is one of known, or the default.
func (r *reader) choice(fallback string, known []string, names ...string) string {
	for _, name := range names {
		v := r.get(name)
		if v == "" {
			continue
		}
		if i := slices.IndexFunc(known, func(k string) bool { return strings.EqualFold(k, v) }); i >= 0 {
			return known[i]
		}
		r.ignore(name, "is not one of "+strings.Join(known, ", "))
	}
	return fallback
}

// number returns the value of the first variable that is a number within bounds, or the default.
func (r *reader) number(fallback, least, most int, names ...string) int {
	for _, name := range names {
		v := r.get(name)
		if v == "" {
			continue
		}
		n, err := strconv.Atoi(v)
		if err == nil && n >= least && n <= most {
			return n
		}
		r.ignore(name, "is not a number from "+strconv.Itoa(least)+" to "+strconv.Itoa(most))
	}
	return fallback
}

func (r *reader) millis(fallback time.Duration, least int, names ...string) time.Duration {
	n := r.number(int(fallback.Milliseconds()), least, maxMillis, names...)
	return time.Duration(n) * time.Millisecond
}

// file returns the content of the file that a variable names, or nil if there is none.
func (r *reader) file(variable string) []byte {
	name := r.get(variable)
	if name == "" {
		return nil
	}
	data, ok := readRegular(name, math.MaxInt64)
	if !ok {
		r.ignore(variable, unreadable)
		return nil
	}
	return data
}

// unreadable is why a variable with the name of a file is ignored.
const unreadable = "names a file that cannot be read"

// readRegular reads a regular file of at most that many bytes: reading a pipe could
// block forever.
func readRegular(name string, most int64) (data []byte, ok bool) {
	info, err := os.Stat(name)
	if err != nil || !info.Mode().IsRegular() || info.Size() > most {
		return nil, false
	}
	data, err = os.ReadFile(name)
	return data, err == nil
}

// metrics reads the settings of metrics.
func (r *reader) metrics() {
	const temporality = forAll + "METRICS_TEMPORALITY_PREFERENCE"
	e := r.e
	e.MetricInterval = r.millis(time.Minute, 100, "OTEL_METRIC_EXPORT_INTERVAL")
	e.Metrics.Batch.Timeout = r.millis(30*time.Second, 1, "OTEL_METRIC_EXPORT_TIMEOUT")
	if e.Metrics.OTLP && r.choice("cumulative", []string{"cumulative", "delta", "lowmemory"}, temporality) != "cumulative" {
		r.ignore(temporality, "is not cumulative, which the metrics of this program always are")
	}
}

// limits reads the limits of attributes. The limits of events and links are not
// read.
func (r *reader) limits() {
	const most = 1 << 20
	read := func(prefix string) Limits {
		return Limits{
			Length: r.number(sdktrace.DefaultAttributeValueLengthLimit, 1, most, prefix+"ATTRIBUTE_VALUE_LENGTH_LIMIT", "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT"),
			Count:  r.number(sdktrace.DefaultAttributeCountLimit, 1, most, prefix+"ATTRIBUTE_COUNT_LIMIT", "OTEL_ATTRIBUTE_COUNT_LIMIT"),
		}
	}
	r.e.SpanLimits, r.e.LogLimits = read("OTEL_SPAN_"), read("OTEL_LOGRECORD_")
}

// pairs parses "key=value,key=value" with percent-encoded values. It passes each to
// take, which returns false if it is not valid, and reports whether all were valid.
func (r *reader) pairs(name string, take func(key, value string) bool) bool {
	whole := true
	for item := range strings.SplitSeq(r.get(name), ",") {
		if strings.TrimSpace(item) == "" {
			continue
		}
		key, text, found := strings.Cut(item, "=")
		key = strings.TrimSpace(key)
		value, err := url.PathUnescape(strings.TrimSpace(text))
		if !found || err != nil || key == "" || !take(key, value) {
			whole = false
		}
	}
	return whole
}

// resource reads the resource attributes of this program.
func (r *reader) resource() {
	const name = "OTEL_RESOURCE_ATTRIBUTES"
	whole := r.pairs(name, func(key, value string) bool {
		r.e.resource = append(r.e.resource, attribute.String(key, value))
		return true
	})
	if !whole {
		r.ignore(name, "has items that are not KEY=VALUE with the value percent-encoded; the others are used")
	}
	if service := r.get("OTEL_SERVICE_NAME"); service != "" {
		r.e.resource = append(r.e.resource, semconv.ServiceName(service))
	}
}
