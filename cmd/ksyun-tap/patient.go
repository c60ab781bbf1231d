package main

import (
	"errors"
	"io"
	"sync"
	"time"
)

// patience is the timeout of one write to standard error.
const patience = time.Second

var errStuck = errors.New("write timed out: nothing reads this output")

// patient is an output that is abandoned once a write to it times out, so that a
// pipe without a reader cannot keep this process from exiting. It is for output
// other than the log, which has a queue of its own.
type patient struct {
	w io.Writer

	mu    sync.Mutex
	stuck bool
}

// Write writes p. It returns errStuck if that takes too long, and from then on.
func (o *patient) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.stuck {
		return 0, errStuck
	}
	type result struct {
		n   int
		err error
	}
	written := make(chan result, 1)
	go func(p []byte) {
		n, err := o.w.Write(p)
		written <- result{n, err}
	}(append([]byte(nil), p...))
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	select {
	case r := <-written:
		return r.n, r.err
	case <-timeout.C:
		o.stuck = true
		return 0, errStuck
	}
}

// direct returns the underlying output, for a command or the log.
func direct(w io.Writer) io.Writer {
	if o, ok := w.(*patient); ok {
		return o.w
	}
	return w
}
