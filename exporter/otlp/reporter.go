package otlp

import (
	"sync"
	"time"

	"github.com/go-logr/logr"
	"go.opentelemetry.io/otel"
	"go.uber.org/zap"
)

// logInterval is the minimum time between two logged export errors.
const logInterval = time.Minute

// Reporter logs export errors, at most one per minute. It is safe for concurrent
// use.
type Reporter struct {
	log     *zap.Logger
	message string

	mu     sync.Mutex // guards the field below
	logged time.Time  // when an error was last logged
}

var _ otel.ErrorHandler = (*Reporter)(nil)

// NewReporter returns a reporter that logs errors with message to log. If log is
// nil, it logs nothing.
func NewReporter(log *zap.Logger, message string) *Reporter {
	if log == nil {
		log = zap.NewNop()
	}
	return &Reporter{log: log, message: message}
}

// Handle implements otel.ErrorHandler.
func (r *Reporter) Handle(err error) {
	if r.due(time.Now()) {
		r.log.Warn(r.message, zap.Error(err))
	}
}

// due reports whether logInterval has passed since the last logged error.
func (r *Reporter) due(now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.logged.IsZero() && now.Sub(r.logged) < logInterval {
		return false
	}
	r.logged = now
	return true
}

// Quietly calls build, which creates exporters. Meanwhile the SDK's own messages
// are discarded: the SDK reads the environment as well, and would report values of
// variables. Afterwards report is the SDK's error handler.
func Quietly(report otel.ErrorHandler, build func()) {
	otel.SetLogger(logr.Discard())
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(error) {}))
	defer otel.SetErrorHandler(report)
	build()
}
