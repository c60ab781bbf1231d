// Package disk keeps the journal's failures in a file, so that they survive a
// restart and a crash.
//
//	Add ──> bounded queue ──> batches, one synced transaction each ──> file
//	                              on a goroutine of its own
//
// The file is a bbolt database: a single file whose transactions are atomic after a
// crash, in pure Go and with one indirect dependency that is linked anyway. The
// other candidates were SQLite, which needs cgo or several MiB of translated C, and
// a log of our own, whose recovery and compaction we would have to write and prove.
//
// A failure of the disk never reaches the caller: the failures wait in memory, up to
// a limit, and writing is tried again. A corrupt file is set aside and a new one is
// begun.
package disk

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/ksyun-tap/ksyun-tap/exporter/record"
)

// Config configures a store.
type Config struct {
	Path       string
	MaxEntries int           // maximum number of records; must be positive
	MaxBytes   int64         // maximum size of the file; 0 sets no limit
	MaxAge     time.Duration // records older than that are deleted; 0 keeps them
	Log        *zap.Logger   // required

	// The following are set by tests.
	retry   time.Duration                // pause after a failure; 0 means retryPause
	written func(batch []*record.Record) // called after a transaction
}

const (
	maxQueued  = 1024                   // records that Add has not yet passed on
	maxPending = 2048                   // records that wait for the disk to work again
	maxBatch   = 256                    // records of one transaction
	linger     = 200 * time.Millisecond // how long a batch is collected
	retryPause = 10 * time.Second
	pruneEvery = time.Minute // how often old records are looked for without a write

	// The lengths of the texts of these records, in bytes. Those of usual failures are half
	// as long.
	maxQueuedTexts  = 4 << 20
	maxPendingTexts = 4 << 20
	maxBatchTexts   = 1 << 20
)

// Stats is the state of a store.
type Stats struct {
	Healthy  bool   // the last transaction succeeded
	Entries  int    // records in the file; 0 if it is not open
	Bytes    int64  // size of the file; 0 if it is not open
	Written  uint64 // records written
	Lost     uint64 // records that were dropped before they were written
	Failures uint64 // failed attempts to open or to write the file
	Corrupt  uint64 // files set aside because they were corrupt
}

// Store writes records to a file. It is safe for concurrent use.
type Store struct {
	cfg   Config
	queue chan *record.Record
	texts atomic.Int64  // length of the texts of the records in queue
	done  chan struct{} // closed when the writer has ended

	mu     sync.RWMutex // held for reading while sending to queue; guards closed
	closed bool

	healthy                          atomic.Bool
	entries, bytes                   atomic.Int64
	written, lost, failures, corrupt atomic.Uint64

	// The following belong to the writer.
	file         *file            // nil while the disk does not work
	pending      []*record.Record // to be written, oldest first
	pendingTexts int              // length of their texts
}

// Open opens the file, or creates it, and returns the records that it holds, oldest
// first. A corrupt file is set aside. If the disk is full or broken, Open returns a
// store that tries again later. An error is one that the user can fix: it is a
// *usererror.Error. Call Shutdown to close the store.
func Open(cfg Config) (*Store, []*record.Record, error) {
	if cfg.retry == 0 {
		cfg.retry = retryPause
	}
	s := &Store{cfg: cfg, queue: make(chan *record.Record, maxQueued), done: make(chan struct{})}
	s.healthy.Store(true)
	records, err := s.open()
	if err != nil {
		if !temporary(err) {
			return nil, nil, explain(cfg.Path, err)
		}
		s.failed(err)
	}
	go s.run()
	return s, records, nil
}

// Add queues r, which must not be modified afterwards. It replaces a record with the same
// ID. It never blocks: if the queue
// is full or the store is closed, r is dropped and counted.
func (s *Store) Add(r *record.Record) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed || !s.enqueue(r) {
		s.lost.Add(1)
	}
}

// enqueue queues r if there is room.
func (s *Store) enqueue(r *record.Record) bool {
	size := int64(r.TextBytes())
	if s.texts.Add(size) <= maxQueuedTexts {
		select {
		case s.queue <- r:
			return true
		default:
		}
	}
	s.texts.Add(-size)
	return false
}

// Shutdown writes what is queued and closes the file. It returns an error if records
// were not written or ctx ended before.
func (s *Store) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	if !s.closed {
		s.closed = true
		close(s.queue)
	}
	s.mu.Unlock()
	select {
	case <-s.done:
	case <-ctx.Done():
		return fmt.Errorf("write the journal: %w", ctx.Err())
	}
	if n := len(s.pending); n > 0 {
		return fmt.Errorf("%d failures were not written to the journal's file", n)
	}
	return nil
}

// Stats returns the state of the store.
func (s *Store) Stats() Stats {
	return Stats{
		Healthy: s.healthy.Load(), Entries: int(s.entries.Load()), Bytes: s.bytes.Load(),
		Written: s.written.Load(), Lost: s.lost.Load(), Failures: s.failures.Load(), Corrupt: s.corrupt.Load(),
	}
}

// run is the writer.
func (s *Store) run() {
	defer close(s.done)
	debug.SetPanicOnFault(true) // see protect
	due := time.NewTimer(s.pause())
	defer due.Stop()
	waiting := s.file == nil // due is not to be put off by more records
	for {
		select {
		case r, ok := <-s.queue:
			if !ok {
				s.flush()
				s.close()
				return
			}
			s.texts.Add(-int64(r.TextBytes()))
			s.hold(r)
			switch {
			case s.file != nil && (len(s.pending) >= maxBatch || s.pendingTexts >= maxBatchTexts):
				s.flush()
			case waiting:
				continue
			}
		case <-due.C:
			s.flush()
		}
		waiting = len(s.pending) > 0 || s.file == nil
		due.Reset(s.pause())
	}
}

// pause returns how long to wait before flush, unless a batch is full.
func (s *Store) pause() time.Duration {
	switch {
	case s.file == nil:
		return s.cfg.retry
	case len(s.pending) > 0:
		return linger
	}
	return pruneEvery
}

// hold adds r to the pending records. If there are too many, the oldest are dropped.
func (s *Store) hold(r *record.Record) {
	s.pending = append(s.pending, r)
	s.pendingTexts += r.TextBytes()
	n := 0
	for ; len(s.pending)-n > maxPending || s.pendingTexts > maxPendingTexts; n++ {
		s.pendingTexts -= s.pending[n].TextBytes()
	}
	if n > 0 {
		s.pending = slices.Delete(s.pending, 0, n)
		s.lost.Add(uint64(n))
	}
}

// flush writes the pending records, and deletes those that exceed a limit. If the
// file is corrupt, they are written to a new one.
func (s *Store) flush() {
	err := s.writePending()
	if errors.Is(err, errCorrupt) {
		err = s.writePending()
	}
	if err != nil {
		s.failed(err)
		return
	}
	if s.healthy.CompareAndSwap(false, true) {
		s.cfg.Log.Info("the journal is written to its file again", zap.String("file", s.cfg.Path), zap.Uint64("lost", s.lost.Load()))
	}
}

// writePending opens the file, if it is not open, and writes the pending records.
func (s *Store) writePending() error {
	if s.file == nil {
		if _, err := s.open(); err != nil {
			return err
		}
	}
	for first := true; first || len(s.pending) > 0; first = false {
		n, texts := s.batch()
		if err := s.write(s.pending[:n]); err != nil {
			return err
		}
		clear(s.pending[:n])
		s.pending = s.pending[n:]
		s.pendingTexts -= texts
	}
	s.pending = nil
	return nil
}

// batch returns the number of the pending records that the next transaction writes, and
// the length of their texts.
func (s *Store) batch() (n, texts int) {
	for n < min(len(s.pending), maxBatch) && texts < maxBatchTexts {
		texts += s.pending[n].TextBytes()
		n++
	}
	return n, texts
}

// write writes one batch. If it fails, the file is closed.
func (s *Store) write(batch []*record.Record) error {
	entries := encode(batch)
	if err := s.file.write(entries, time.Now()); err != nil {
		if errors.Is(err, errCorrupt) {
			s.setAside(err)
		}
		s.close()
		return err
	}
	s.measure()
	s.written.Add(uint64(len(entries)))
	s.lost.Add(uint64(len(batch) - len(entries))) //nolint:gosec // not negative
	if s.cfg.written != nil {
		s.cfg.written(batch)
	}
	return nil
}

// open opens the file and deletes what exceeds a limit. A corrupt file is set aside.
func (s *Store) open() (records []*record.Record, err error) {
	for range 2 {
		if s.file, records, err = openFile(&s.cfg, time.Now()); err == nil {
			s.measure()
			return records, nil
		}
		if !errors.Is(err, errCorrupt) || !s.setAside(err) {
			break
		}
	}
	return nil, err
}

// setAside renames the file, which is corrupt because of cause, and reports whether
// that succeeded.
func (s *Store) setAside(cause error) bool {
	s.corrupt.Add(1)
	to, err := setAside(s.cfg.Path, time.Now())
	if err != nil {
		s.cfg.Log.Error("the journal's file is corrupt and cannot be renamed", zap.String("file", s.cfg.Path), zap.NamedError("cause", cause), zap.Error(err))
		return false
	}
	s.cfg.Log.Error("the journal's file is corrupt; it was renamed and a new one is begun", zap.String("file", s.cfg.Path), zap.String("renamed_to", to), zap.NamedError("cause", cause))
	return true
}

// failed counts a failure of the disk and warns of the first one.
func (s *Store) failed(err error) {
	s.failures.Add(1)
	if s.healthy.CompareAndSwap(true, false) {
		s.cfg.Log.Warn("the journal cannot be written to its file; failures are kept in memory, and writing is tried again",
			zap.Error(explain(s.cfg.Path, err)), zap.Duration("retry", s.cfg.retry))
	}
}

// measure updates the sizes in the statistics.
func (s *Store) measure() {
	s.entries.Store(int64(s.file.entries))
	s.bytes.Store(s.file.size())
}

// close closes the file, if it is open.
func (s *Store) close() {
	if s.file != nil {
		s.file.close()
		s.file = nil
	}
	s.entries.Store(0)
	s.bytes.Store(0)
}
