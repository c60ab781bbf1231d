package traces

import (
	"sync"
	"time"

	"go.opentelemetry.io/otel"
	"go.uber.org/zap"
)

// logInterval is how often troubles with exports are logged, at most.
const logInterval = time.Minute

// reporter logs what goes wrong with exports, of many errors only the first in
// a while. It takes the place of the SDK's own handler, which writes each to
// standard error.
type reporter struct {
	log *zap.Logger

	mu     sync.Mutex // guards the field below
	logged time.Time  // when an error was last logged
}

var _ otel.ErrorHandler = (*reporter)(nil)

// newReporter returns a reporter to log; to nobody if log is nil.
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

// due reports whether it is time for a line again.
func (r *reporter) due(now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.logged.IsZero() && now.Sub(r.logged) < logInterval {
		return false
	}
	r.logged = now
	return true
}
