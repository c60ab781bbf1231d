package main

import (
	"errors"
	"io"
	"sync"
	"time"
)

// patience is how long one write to standard error may take.
const patience = time.Second

var errStuck = errors.New("nobody reads this output")

// patient is an output that is given up once a write to it is stuck, so that a
// pipe nobody reads cannot keep this program from ending. It is for the few
// lines that are not the log's, which has a queue of its own.
type patient struct {
	w io.Writer

	mu    sync.Mutex
	stuck bool
}

// Write writes p, or gives up.
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

// direct returns the output itself, for a command or the log.
func direct(w io.Writer) io.Writer {
	if o, ok := w.(*patient); ok {
		return o.w
	}
	return w
}
