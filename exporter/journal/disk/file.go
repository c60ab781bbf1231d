package disk

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/ksyun-tap/ksyun-tap/exporter/record"
)

const (
	mode        = 0o600
	lockTimeout = 500 * time.Millisecond // for a tap that is just ending
	growth      = 1 << 20                // by which larger files grow
	maxAside    = 3                      // corrupt files that are kept
	sumBytes    = 4
)

var (
	bucketName = []byte("failures")
	castagnoli = crc32.MakeTable(crc32.Castagnoli)

	// errCorrupt is in the tree of every error about the content of a file.
	errCorrupt = errors.New("corrupt")
)

// entry is a record as it is in the file. The key is the record's ID. The value is a
// CRC-32C of the key and the JSON, big-endian, and the JSON.
type entry struct{ key, value []byte }

func (e entry) size() int64 { return int64(len(e.key) + len(e.value)) }

// encode returns the entries of records, except those that have no JSON form.
func encode(records []*record.Record) []entry {
	all := make([]entry, 0, len(records))
	for _, r := range records {
		if text, err := json.Marshal(r); err == nil {
			all = append(all, newEntry(r.ID, text))
		}
	}
	return all
}

func newEntry(id string, text []byte) entry {
	key := []byte(id)
	return entry{key, append(binary.BigEndian.AppendUint32(nil, sum(key, text)), text...)}
}

func sum(key, text []byte) uint32 {
	return crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, text)
}

// verify returns the JSON of e.
func (e entry) verify() ([]byte, error) {
	if id := string(e.key); len(id) != record.IDLength || !record.IsID(id) {
		return nil, fmt.Errorf("%w: %q is not an ID", errCorrupt, e.key)
	}
	if len(e.value) < sumBytes || binary.BigEndian.Uint32(e.value) != sum(e.key, e.value[sumBytes:]) {
		return nil, fmt.Errorf("%w: wrong checksum of failure %s", errCorrupt, e.key)
	}
	return e.value[sumBytes:], nil
}

// file is an open database.
type file struct {
	cfg     *Config
	db      *bbolt.DB
	fd      *os.File // of db
	broken  bool     // bbolt panicked: its locks may be held
	created bool     // the file was empty
	entries int
	data    int64 // keys and values, in bytes
}

// openFile opens or creates the file, checks it and deletes what exceeds a limit. It
// returns the records, oldest first.
func openFile(cfg *Config, now time.Time) (_ *file, records []*record.Record, err error) {
	f := &file{cfg: cfg}
	defer func() {
		if err != nil {
			f.close()
		}
	}()
	err = f.protect(func() (err error) {
		f.db, err = bbolt.Open(cfg.Path, mode, &bbolt.Options{
			Timeout: lockTimeout, MaxSize: int(cfg.MaxBytes), FreelistType: bbolt.FreelistMapType, NoStatistics: true,
			OpenFile: func(path string, flag int, mode os.FileMode) (_ *os.File, err error) {
				f.fd, f.created, err = openPrivate(path, flag, mode)
				return f.fd, err
			},
		})
		if err != nil {
			return f.refused(err)
		}
		f.db.AllocSize = growth
		return f.db.View(f.check)
	})
	if err != nil {
		return nil, nil, err
	}
	if err := f.write(nil, now); err != nil {
		return nil, nil, err
	}
	err = f.protect(func() error {
		return f.db.View(func(tx *bbolt.Tx) (err error) {
			records, err = load(tx)
			return err
		})
	})
	if err != nil {
		return nil, nil, err
	}
	return f, records, nil
}

// refused returns the error of bbolt.Open. If it is neither of the system nor about
// the lock, the file is corrupt.
func (f *file) refused(err error) error {
	var failed *fs.PathError
	var errno syscall.Errno
	switch {
	case errors.As(err, &failed) && failed.Op == "write" && f.created:
		_ = os.Truncate(f.cfg.Path, 0) // written in part: the next attempt begins again
	case errors.As(err, &errno), errors.Is(err, bolterrors.ErrTimeout), errors.Is(err, errNotRegular):
	default:
		return fmt.Errorf("%w: %w", errCorrupt, err)
	}
	return err
}

// openPrivate opens a file that only its owner can read, and reports whether it is
// empty.
func openPrivate(path string, flag int, mode os.FileMode) (_ *os.File, empty bool, err error) {
	fd, err := os.OpenFile(path, flag, mode)
	if err != nil {
		return nil, false, err
	}
	info, err := fd.Stat()
	switch {
	case err != nil:
	case !info.Mode().IsRegular():
		err = errNotRegular
	case info.Mode().Perm()&^mode != 0:
		err = fd.Chmod(mode)
	}
	if err != nil {
		_ = fd.Close()
		return nil, false, err
	}
	return fd, info.Size() == 0, nil
}

// check checks the pages and every entry. It counts the entries.
func (f *file) check(tx *bbolt.Tx) error {
	info, err := f.fd.Stat()
	if err != nil {
		return err
	}
	if info.Size() < tx.Size() {
		return fmt.Errorf("%w: truncated to %d of %d bytes", errCorrupt, info.Size(), tx.Size())
	}
	f.entries, f.data = 0, 0
	var find *bbolt.Cursor // nil if there are no entries
	err = tx.ForEach(func(name []byte, b *bbolt.Bucket) error {
		if b == nil || !bytes.Equal(name, bucketName) {
			return fmt.Errorf("%w: not a journal's bucket", errCorrupt)
		}
		find = b.Cursor()
		return nil
	})
	if err != nil {
		return err
	}
	var previous string
	err = each(tx, func(e entry) error {
		if _, err := e.verify(); err != nil {
			return err
		}
		if string(e.key) <= previous { // also ends a walk in circles
			return fmt.Errorf("%w: keys are not in order", errCorrupt)
		}
		// Also reads every key of branch pages: see unread.
		if found, _ := find.Seek(e.key); !bytes.Equal(found, e.key) {
			return fmt.Errorf("%w: failure %s is not found by its ID", errCorrupt, e.key)
		}
		previous = string(e.key)
		f.entries++
		f.data += e.size()
		return nil
	})
	if err != nil {
		return err
	}
	// Check takes memory for all pages that the header of one counts.
	pages := int(tx.Size()) / tx.DB().Info().PageSize
	for id := 0; id < pages; id++ {
		p, err := tx.Page(id)
		if err != nil {
			return err
		}
		if p.Type != "free" {
			id += p.OverflowCount
		}
		if id >= pages {
			return fmt.Errorf("%w: page %d is longer than the file", errCorrupt, p.ID)
		}
	}
	// The list of free pages must agree, or the next transactions would overwrite
	// pages in use.
	var first error
	for err := range tx.Check(bbolt.WithKVStringer(unread{})) {
		if first == nil {
			first = fmt.Errorf("%w: %w", errCorrupt, err)
		}
	}
	return first
}

// unread describes keys and values in errors of Tx.Check without reading them. Check runs
// on a goroutine of its own, where a read outside of the file ends the process, and the
// length of a corrupt key may reach there.
type unread struct{}

// KeyToString returns the length of a key.
func (unread) KeyToString(key []byte) string { return fmt.Sprintf("(%d bytes)", len(key)) }

// ValueToString returns the length of a value.
func (unread) ValueToString(value []byte) string { return fmt.Sprintf("(%d bytes)", len(value)) }

// load returns the records of all entries.
func load(tx *bbolt.Tx) (records []*record.Record, err error) {
	err = each(tx, func(e entry) error {
		text, err := e.verify()
		if err != nil {
			return err
		}
		r := new(record.Record)
		if err := json.Unmarshal(text, r); err != nil {
			return fmt.Errorf("%w: failure %s is not a record of this version: %w", errCorrupt, e.key, err)
		}
		records = append(records, r)
		return nil
	})
	return records, err
}

// each calls use for each entry, oldest first. The memory of entries is that of the
// file.
func each(tx *bbolt.Tx, use func(entry) error) error {
	b := tx.Bucket(bucketName)
	if b == nil {
		return nil
	}
	return b.ForEach(func(k, v []byte) error { return use(entry{k, v}) })
}

// write adds entries and deletes the oldest ones that exceed a limit, in one
// transaction. It does nothing if there is nothing to change.
func (f *file) write(added []entry, now time.Time) error {
	entries, data := f.entries, f.data
	err := f.protect(func() error {
		return f.db.Update(func(tx *bbolt.Tx) error {
			b, err := tx.CreateBucketIfNotExists(bucketName)
			if err != nil {
				return err
			}
			b.FillPercent = 1 // keys are appended
			changed := false
			for _, e := range added {
				// It may be there: updated now, or written by a transaction that was
				// reported as failed.
				if old := b.Get(e.key); old != nil {
					entries--
					data -= entry{e.key, old}.size()
				}
				if err := b.Put(e.key, e.value); err != nil {
					return err
				}
				changed = true
				entries++
				data += e.size()
			}
			c := b.Cursor()
			for k, v := c.First(); k != nil && f.exceeds(k, entries, data, now); k, v = c.First() {
				entries--
				data -= entry{k, v}.size()
				if err := c.Delete(); err != nil {
					return err
				}
				changed = true
			}
			if !changed {
				return errUnchanged
			}
			return nil
		})
	})
	switch {
	case errors.Is(err, errUnchanged):
		return nil
	case err != nil:
		return err
	}
	f.entries, f.data = entries, data
	return nil
}

var errUnchanged = errors.New("unchanged")

// exceeds reports whether the entry with key, which is the oldest, has to be deleted.
func (f *file) exceeds(key []byte, entries int, data int64, now time.Time) bool {
	// Pages are at least half full, and a transaction needs free pages to copy to.
	const pagesPerData = 3
	return entries > f.cfg.MaxEntries ||
		f.cfg.MaxBytes > 0 && data > f.cfg.MaxBytes/pagesPerData ||
		f.cfg.MaxAge > 0 && string(key) < record.FirstID(now.Add(-f.cfg.MaxAge))
}

// protect calls use, and turns a panic into an error. bbolt panics on corrupt pages,
// and access to mapped memory that the file does not have any more is a fault.
func (f *file) protect(use func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			f.broken = true
			err = fmt.Errorf("%w: %v", errCorrupt, p)
		}
	}()
	return use()
}

// size returns the size of the file in bytes.
func (f *file) size() int64 {
	info, err := f.fd.Stat()
	if err != nil {
		return 0
	}
	return info.Size()
}

// close closes the file.
func (f *file) close() {
	if f.db != nil && !f.broken {
		_ = f.protect(f.db.Close)
	}
	if f.fd != nil { // releases the lock even if bbolt cannot; closing it twice is harmless
		_ = f.fd.Close()
	}
}

// setAside renames the file, and deletes the oldest of the files set aside before.
func setAside(path string, now time.Time) (to string, err error) {
	to = path + ".corrupt-" + now.UTC().Format("20060102T150405.000000Z")
	if err := os.Rename(path, to); err != nil {
		return "", err
	}
	all, err := filepath.Glob(path + ".corrupt-*")
	if err != nil {
		return to, nil //nolint:nilerr // a path that is no pattern
	}
	slices.Sort(all)
	for _, old := range all[:max(0, len(all)-maxAside)] {
		_ = os.Remove(old)
	}
	return to, nil
}
