// Package logs writes the program's log, including one line per failed attempt.
//
// By default, lines are JSON objects with a static msg. Variable parts are in
// fields, which are named like labels and span attributes (see Events). Trace
// context fields are at the top level, as OpenTelemetry specifies for non-OTLP
// log formats.
package logs

import (
	"encoding/hex"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/exporter/diagnosis"
	"github.com/ksyun-tap/ksyun-tap/exporter/record"
)

// The values of the field event.
const (
	EventError   = "ksyun.api.error"   // a failed call
	EventCall    = "ksyun.api.call"    // a call that did not fail
	EventRefused = "ksyun.tap.refused" // a request that ksyun-tap refused
	// EventIncomplete is a call that succeeded without data, or without all of it.
	EventIncomplete = "ksyun.api.incomplete"
)

// EventsConfig is the configuration of Events.
type EventsConfig struct {
	// Access enables a line for every attempt, without sampling.
	Access bool
	// Dropped is called when lines are sampled out.
	Dropped func(reason string, n int)
	// Now is the clock used for sampling. If nil, time.Now is used.
	Now func() time.Time
}

// Events logs attempts. Failures are logged at a level that depends on the cause
// and are sampled by code; other attempts are logged at debug. With
// EventsConfig.Access, every attempt is logged.
//
//	error   faults of ksyun-tap; credentials
//	warn    the vendor, the network, throttling and quotas; partial, masked and
//	        incomplete responses
//	info    errors of the program; with Access, attempts that did not fail
//	debug   attempts that did not fail
//
// It is safe for concurrent use.
type Events struct {
	log     *zap.Logger
	access  bool
	dropped func(reason string, n int)
	sampler *sampler
}

// NewEvents returns an Events that logs to log.
func NewEvents(log *zap.Logger, cfg EventsConfig) *Events {
	e := &Events{log: log, access: cfg.Access, dropped: cfg.Dropped}
	if e.dropped == nil {
		e.dropped = func(string, int) {}
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	e.sampler = newSampler(cfg.Now)
	return e
}

// Wants reports whether the attempt may be logged. It is fast, so that it can be
// called while the call is being relayed.
func (e *Events) Wants(o *classify.Observation) bool {
	if o.Verdict.Outcome.Failed() || o.Fault.Refused() {
		return true
	}
	return e.access || e.log.Core().Enabled(zapcore.DebugLevel)
}

// Write logs the attempt, unless its level is disabled or it is sampled out.
func (e *Events) Write(r *record.Record) {
	level := e.severity(r)
	if !e.log.Core().Enabled(level) {
		return
	}
	if r.Failed() && !e.access && !e.sampler.allow(keyOf(r)) {
		e.dropped(reasonSampled, 1)
		return
	}
	_, message := eventOf(r)
	entry := e.log.Check(level, message)
	if entry == nil {
		return
	}
	if !r.Time.IsZero() {
		entry.Time = r.Time // the time of the attempt, not of the log call
	}
	entry.Write(zap.Inline((*fields)(r)))
}

// keyOf returns the sampling key of r. It is more than the code, which may have many causes.
func keyOf(r *record.Record) sampleKey {
	k := sampleKey{kind: r.Kind, code: r.Code}
	if c := r.Cause(); c != nil {
		k.cause = string(c.Cause)
	}
	return k
}

// severity returns the log level of r.
func (e *Events) severity(r *record.Record) zapcore.Level {
	switch {
	case r.Incomplete():
		return zapcore.WarnLevel
	case !r.Failed() && e.access:
		return zapcore.InfoLevel
	case !r.Failed():
		return zapcore.DebugLevel
	case r.Outcome == classify.OutcomePartial, r.Outcome == classify.OutcomeMasked:
		return zapcore.WarnLevel
	}
	switch r.Blame {
	case classify.BlameTap, classify.BlameCredential:
		return zapcore.ErrorLevel
	case classify.BlameClient:
		return zapcore.InfoLevel
	default:
		return zapcore.WarnLevel
	}
}

// eventOf returns the value of the field event and the static message for r.
func eventOf(r *record.Record) (event, message string) {
	switch {
	case r.Fault.Refused():
		return EventRefused, "request refused"
	case r.Failed():
		return EventError, "ksyun api call failed"
	case r.Incomplete():
		return EventIncomplete, "ksyun api result incomplete"
	}
	return EventCall, "ksyun api call"
}

// fields marshals a record as the fields of a line.
type fields record.Record

// MarshalLogObject implements zapcore.ObjectMarshaler.
func (f *fields) MarshalLogObject(enc zapcore.ObjectEncoder) error {
	r := (*record.Record)(f)
	text := func(key, value string) {
		if value != "" {
			enc.AddString(key, value)
		}
	}
	number := func(key string, value int) {
		if value != 0 {
			enc.AddInt(key, value)
		}
	}

	event, _ := eventOf(r)
	text("event", event)
	text("trace_id", r.TraceID)
	text("span_id", r.SpanID)
	if r.TraceID != "" {
		enc.AddString("trace_flags", hex.EncodeToString([]byte{r.TraceFlags}))
	}
	text("id", r.ID)
	text("group", r.Group)
	text("request_id", r.RequestID)
	text("request_id_source", string(r.RequestIDSource))
	text("service", r.Service)
	text("action", r.Action)
	text("version", r.Version)
	text("region", r.Region)
	text("outcome", string(r.Outcome))
	number("status", r.Status)
	text("code", r.Code)
	text("inner_code", r.InnerCode)
	text("type", string(r.Type))
	text("category", string(r.Category))
	text("blame", string(r.Blame))
	if r.Failed() {
		enc.AddBool("retryable", r.Retryable)
	}
	text("message", r.Message)
	number("failed_items", r.FailedItems)
	text("fault", string(r.Fault))
	enc.AddFloat64("duration_seconds", r.DurationSeconds)
	text("method", r.Method)
	text("url", r.URL)
	text("host", r.Host)
	if r.Upstream.IsValid() {
		enc.AddString("upstream", r.Upstream.String())
	}
	if r.Client.IsValid() {
		enc.AddString("client", r.Client.String())
	}
	text("user_agent", r.UserAgent)
	text("credential", r.Credential)
	text("call_id", r.CallID)
	number("attempt", r.Attempt)
	text("call_outcome", string(r.CallOutcome))
	text("scope", r.Scope.Sentence(diagnosis.English, r.Blame, r.Time))
	text("source", string(r.Source))
	if c := r.Cause(); c != nil {
		text("cause", string(c.Cause))
		text("certainty", string(c.Certainty))
		text("evidence", c.Evidence.English)
	}
	if r.Failed() || r.Incomplete() {
		text("advice", r.Advice.Do.English)
		text("retry", string(r.Advice.Retry))
		number("retry_pause_seconds", r.Advice.Pause)
		text("runbook", r.Advice.Runbook)
	}
	return nil
}
