//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package ca

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// guarded reports whether file modes and owners protect files.
const guarded = true

// openNoFollow opens a file, and creates it with mode 0600 if flag says so. It
// does not follow a symbolic link, and does not block on a named pipe.
func openNoFollow(path string, flag int) (*os.File, error) {
	return os.OpenFile(path, flag|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0o600)
}

// tryLock locks f until it is closed. It returns false if f is already locked.
func tryLock(f *os.File) (ok bool, err error) {
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) || errors.Is(err, syscall.EINTR) {
		return false, nil
	}
	return err == nil, err
}

// checkMakeable returns an error if no directory can be created at path. Parent
// directories may be missing as well.
func checkMakeable(path string) error {
	parent := filepath.Dir(path)
	err := unix.Access(parent, unix.W_OK|unix.X_OK)
	switch {
	case errors.Is(err, unix.ENOENT) && parent != path:
		return checkMakeable(parent)
	case err != nil:
		return fmt.Errorf("create a directory in %q: %w", parent, err)
	}
	return nil
}

func ownerOf(info fs.FileInfo) (uid int) {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return int(st.Uid)
	}
	return -1
}
