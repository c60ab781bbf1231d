package output

import (
	"errors"
	"io"
	"sync"
	"time"
)

// patience is the timeout of one write to standard error.
const patience = time.Second

// ErrStuck is returned by a Patient whose output takes nothing.
var ErrStuck = errors.New("write timed out: nothing reads this output")

// Patient is an output that is abandoned once a write to it times out, so that a
// pipe without a reader cannot keep this process from exiting. It is for output
// other than the log, which has a queue of its own.
type Patient struct {
	Out io.Writer

	mu    sync.Mutex
	stuck bool
}

// Write writes p. It returns ErrStuck if that takes too long, and from then on.
func (o *Patient) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.stuck {
		return 0, ErrStuck
	}
	type result struct {
		n   int
		err error
	}
	written := make(chan result, 1)
	go func(p []byte) {
		n, err := o.Out.Write(p)
		written <- result{n, err}
	}(append([]byte(nil), p...))
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	select {
	case r := <-written:
		return r.n, r.err
	case <-timeout.C:
		o.stuck = true
		return 0, ErrStuck
	}
}

// Direct returns the underlying output, for a command or the log.
func Direct(w io.Writer) io.Writer {
	if o, ok := w.(*Patient); ok {
		return o.Out
	}
	return w
}
