package disk

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/ksyun-tap/ksyun-tap/exporter/internal/writable"
	"github.com/ksyun-tap/ksyun-tap/usererror"
)

var errNotRegular = errors.New("not a regular file")

// faults are what users can fix. The first that matches an error is meant.
var faults = []struct {
	err       error
	what      string // "" for the text of the error
	hint      string
	temporary bool // may end without the user
}{
	{bolterrors.ErrTimeout, "another process uses the file", "give each tap a file of its own, or stop the other one", false},
	{errNotRegular, "", "name a file, not a directory or a device", false},
	{syscall.EISDIR, "is a directory", "name a file in it", false},
	{fs.ErrNotExist, "the directory does not exist", "create it, or choose another file", false},
	{syscall.ENOTDIR, "", "name a file in a directory", false},
	{syscall.EROFS, "the file system is read-only", "mount a writable volume, or choose another file", false},
	{fs.ErrPermission, "no permission to write the file or its directory", "let the user of the tap write there", false},
	{syscall.ENOSPC, "no space left on the device", "free some space, or lower --journal.max-bytes", true},
	{syscall.EDQUOT, "the disk quota is exceeded", "free some space, or lower --journal.max-bytes", true},
	{syscall.EFBIG, "the file may not grow further", "raise the limit on the size of files, or lower --journal.max-bytes", true},
	{bolterrors.ErrMaxSizeReached, "the file has reached its maximum size", "raise --journal.max-bytes", true},
}

// Check reports what would make Open fail, without changing anything. It does not look
// at the content of the file or its lock.
func Check(path string) error {
	fd, _, err := openPrivate(path, os.O_RDWR, ^os.FileMode(0))
	if errors.Is(err, fs.ErrNotExist) {
		err = writable.Check(filepath.Dir(path))
	} else if err == nil {
		err = fd.Close()
	}
	if err != nil {
		return explain(path, err)
	}
	return nil
}

// temporary reports whether the disk may work again without a change by the user.
func temporary(err error) bool {
	for _, f := range faults {
		if errors.Is(err, f.err) {
			return f.temporary
		}
	}
	return true
}

// explain returns err in the form of errors that the user can fix.
func explain(path string, err error) error {
	e := usererror.Wrap(err, "check the disk, or choose another file")
	for _, f := range faults {
		if errors.Is(err, f.err) {
			e.Hint = f.hint
			if f.what != "" {
				e.What = f.what
			}
			break
		}
	}
	return usererror.At("--journal.path="+path, e)
}
