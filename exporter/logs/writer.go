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
	// maxBuffered is how many bytes of lines wait for a slow writer, at most.
	maxBuffered = 1 << 20
	// linger is how long lines are collected after a write, so that a busy
	// program does not make one system call per line. The first line after a
	// pause is written at once.
	linger = 100 * time.Millisecond
	// flushTimeout is how long Sync and close wait for a writer that is stuck.
	flushTimeout = time.Second
)

// The reasons handed to Config.Dropped.
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
	path    string // "" for a writer given to us

	wake  chan struct{}      // capacity 1: there is something pending
	full  chan struct{}      // capacity 1: there is much pending
	flush chan chan struct{} // asks for all that is pending to be written now
	quit  chan struct{}      // closed by close
	done  chan struct{}      // closed when the goroutine is over

	mu      sync.Mutex // guards the fields below
	pending []byte
	closed  bool

	out atomic.Pointer[output]
}

// newWriter returns a running writer.
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

// Write takes over one or more whole lines. It never blocks and never fails;
// lines there is no room for are counted.
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

// signal leaves a note in c, unless there is one.
func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

var newline = []byte{'\n'}

// append adds p to what is pending and returns how much that is, or why it
// cannot.
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

// Sync waits until what was logged before is written, for a limited time.
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

// errStuck tells that the log's file or pipe takes nothing.
var errStuck = errors.New("log writer is stuck")

// run writes what is pending until quit.
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

// pause collects lines for a while.
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

// write writes what is pending and returns a buffer to collect in next time.
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
		if !errors.Is(err, os.ErrClosed) || w.out.Load() == out { // else it was reopened meanwhile
			w.dropped(reasonWriteFailed, max(1, bytes.Count(rest, newline)))
			return lines
		}
	}
}

// reopen opens the file anew.
func (w *writer) reopen() error {
	if w.path == "" {
		return nil
	}
	out, err := openOutput(w.path)
	if err != nil {
		return err
	}
	// Closing ends a write that is stuck; what it did not write goes to the new.
	return w.out.Swap(out).close()
}

// close writes what is left and closes the file.
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
		_ = w.out.Load().close() // which ends a write to a pipe
		return errStuck
	}
	return w.out.Load().close()
}
