package logs

import (
	"bytes"
	"errors"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// maxBuffered is the maximum size of the pending lines, in bytes.
	maxBuffered = 1 << 20
	// linger is how long lines are collected after a write, so that a busy
	// program does not make one system call per line. The first line after a
	// pause is written immediately.
	linger = 100 * time.Millisecond
	// flushTimeout is how long Sync and close wait for a blocked writer.
	flushTimeout = time.Second
)

// The reasons passed to Config.Dropped.
const (
	reasonQueueFull   = "queue_full"
	reasonWriteFailed = "write_failed"
	reasonSampled     = "sampled"
	reasonShutdown    = "shutdown"
)

// writer is a zapcore.WriteSyncer that never blocks: it collects lines, and a
// goroutine writes them.
//
//	Write ──> pending ──swap──> writing ──> file, standard error
type writer struct {
	dropped func(reason string, n int)
	path    string // "" if the output is not a file

	wake  chan struct{}      // capacity 1: lines are pending
	full  chan struct{}      // capacity 1: many lines are pending
	flush chan chan struct{} // requests that all pending lines are written now
	quit  chan struct{}      // closed by close
	done  chan struct{}      // closed when the goroutine has ended

	mu      sync.Mutex // guards the fields below
	pending []byte
	closed  bool

	out atomic.Pointer[output]
}

// newWriter returns a running writer. Call close to stop it.
func newWriter(cfg Config) (*writer, error) {
	w := &writer{
		dropped: cfg.Dropped,
		path:    cfg.File,
		wake:    make(chan struct{}, 1),
		full:    make(chan struct{}, 1),
		flush:   make(chan chan struct{}),
		quit:    make(chan struct{}),
		done:    make(chan struct{}),
	}
	if w.dropped == nil {
		w.dropped = func(string, int) {}
	}
	switch {
	case w.path != "":
		out, err := openOutput(w.path)
		if err != nil {
			return nil, err
		}
		w.out.Store(out)
	case cfg.Writer != nil:
		w.out.Store(&output{Writer: cfg.Writer})
	default:
		w.out.Store(&output{Writer: os.Stderr})
	}
	go w.run()
	return w, nil
}

// Write buffers a copy of p, which is one or more complete lines. It never blocks
// and never fails. Lines that do not fit are counted as dropped.
func (w *writer) Write(p []byte) (int, error) {
	pending, refusal := w.append(p)
	if refusal != "" {
		w.dropped(refusal, bytes.Count(p, newline))
		return len(p), nil
	}
	signal(w.wake)
	if pending > maxBuffered/2 {
		signal(w.full)
	}
	return len(p), nil
}

// signal sends to c unless it is full.
func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

var newline = []byte{'\n'}

// append adds p to the pending lines. It returns their size in bytes, or the
// reason why p was refused.
func (w *writer) append(p []byte) (pending int, refusal string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.closed:
		return 0, reasonShutdown
	case len(w.pending)+len(p) > maxBuffered:
		return 0, reasonQueueFull
	}
	w.pending = append(w.pending, p...)
	return len(w.pending), ""
}

// Sync waits until all lines logged before are written, for a limited time.
func (w *writer) Sync() error {
	timeout := time.NewTimer(flushTimeout)
	defer timeout.Stop()
	written := make(chan struct{})
	select {
	case w.flush <- written:
	case <-w.done:
		return nil
	case <-timeout.C:
		return errStuck
	}
	select {
	case <-written:
		return nil
	case <-timeout.C:
		return errStuck
	}
}

// errStuck is returned when the log file or pipe does not accept data.
var errStuck = errors.New("log writer is stuck")

// run writes pending lines until quit is closed.
func (w *writer) run() {
	defer close(w.done)
	var spare []byte
	for {
		select {
		case <-w.wake:
			spare = w.write(spare)
		case written := <-w.flush:
			spare = w.write(spare)
			close(written)
			continue
		case <-w.quit:
			w.write(spare)
			return
		}
		w.pause(&spare)
	}
}

// pause waits for more lines for up to linger.
func (w *writer) pause(spare *[]byte) {
	pause := time.NewTimer(linger)
	defer pause.Stop()
	select {
	case <-pause.C:
	case <-w.full:
	case <-w.quit:
	case written := <-w.flush:
		*spare = w.write(*spare)
		close(written)
	}
}

// write writes the pending lines and returns a buffer for reuse.
func (w *writer) write(spare []byte) []byte {
	w.mu.Lock()
	lines := w.pending
	w.pending = spare[:0]
	w.mu.Unlock()
	if len(lines) == 0 {
		return lines
	}
	rest := lines
	for {
		out := w.out.Load()
		n, err := out.Write(rest)
		if err == nil {
			return lines
		}
		rest = rest[min(max(n, 0), len(rest)):]
		if !errors.Is(err, os.ErrClosed) || w.out.Load() == out { // otherwise, the file was reopened
			w.dropped(reasonWriteFailed, max(1, bytes.Count(rest, newline)))
			return lines
		}
	}
}

// reopen opens the file again.
func (w *writer) reopen() error {
	if w.path == "" {
		return nil
	}
	out, err := openOutput(w.path)
	if err != nil {
		return err
	}
	// Closing unblocks a blocked write; the rest is written to the new file.
	return w.out.Swap(out).close()
}

// close writes the pending lines and closes the file.
func (w *writer) close() error {
	w.mu.Lock()
	again := w.closed
	w.closed = true
	w.mu.Unlock()
	if again {
		return nil
	}
	close(w.quit)
	select {
	case <-w.done:
	case <-time.After(flushTimeout):
		_ = w.out.Load().close() // unblocks a write to a pipe
		return errStuck
	}
	return w.out.Load().close()
}
