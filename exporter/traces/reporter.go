package traces

import (
	"sync"
	"time"

	"go.opentelemetry.io/otel"
	"go.uber.org/zap"
)

// logInterval is the minimum time between two logged export errors.
const logInterval = time.Minute

// reporter logs export errors, at most one per logInterval. It replaces the SDK's
// error handler, which writes every error to standard error.
type reporter struct {
	log *zap.Logger

	mu     sync.Mutex // guards the field below
	logged time.Time  // when an error was last logged
}

var _ otel.ErrorHandler = (*reporter)(nil)

// newReporter returns a reporter that logs to log. If log is nil, it logs nothing.
func newReporter(log *zap.Logger) *reporter {
	if log == nil {
		log = zap.NewNop()
	}
	return &reporter{log: log}
}

// Handle implements otel.ErrorHandler.
func (r *reporter) Handle(err error) {
	if r.due(time.Now()) {
		r.log.Warn("span export failed", zap.Error(err))
	}
}

// due reports whether logInterval has passed since the last logged error.
func (r *reporter) due(now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.logged.IsZero() && now.Sub(r.logged) < logInterval {
		return false
	}
	r.logged = now
	return true
}
