package logs

import (
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/ksyun-tap/ksyun-tap/exporter/diagnosis"
)

// EventNotice is the value of the field event of a line about something that is not
// the failure of a single attempt.
const EventNotice = "ksyun.api.notice"

// WriteNotice logs a notice, unless its level is disabled. Notices are not sampled.
func (e *Events) WriteNotice(n *diagnosis.Notice) {
	level, _ := zapcore.ParseLevel(string(n.Severity)) // one of its names
	entry := e.log.Check(level, "ksyun api notice")
	if entry == nil {
		return
	}
	entry.Time = n.Time
	fields := []zap.Field{zap.String("event", EventNotice), zap.String("cause", string(n.Cause))}
	for _, f := range []struct{ key, value string }{
		{"request_id", n.RequestID},
		{"service", n.Service},
		{"action", n.Action},
		{"region", n.Region},
		{"credential", n.Credential},
		{"blame", string(n.Blame)},
		{"message", n.Summary.English},
		{"evidence", n.Evidence.English},
		{"advice", n.Advice.Do.English},
		{"retry", string(n.Advice.Retry)},
		{"runbook", n.Advice.Runbook},
	} {
		if f.value != "" {
			fields = append(fields, zap.String(f.key, f.value))
		}
	}
	entry.Write(fields...)
}
