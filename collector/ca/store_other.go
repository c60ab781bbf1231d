//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package ca

import (
	"errors"
	"io/fs"
	"os"
)

// guarded reports whether file modes and owners protect files. Here they do not,
// so the functions below are never called.
const guarded = false

func openNoFollow(string, int) (*os.File, error) { return nil, errors.ErrUnsupported }
func tryLock(*os.File) (ok bool, err error)      { return false, errors.ErrUnsupported }
func checkMakeable(string) error                 { return errors.ErrUnsupported }
func ownerOf(fs.FileInfo) (uid int)              { return -1 }
