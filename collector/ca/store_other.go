//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package ca

import (
	"errors"
	"io/fs"
	"os"
)

// guarded tells that modes and owners keep others out of files. They do not
// here, so that nothing below is ever reached.
const guarded = false

func openNoFollow(string, int) (*os.File, error) { return nil, errors.ErrUnsupported }
func tryLock(*os.File) (ok bool, err error)      { return false, errors.ErrUnsupported }
func checkMakeable(string) error                 { return errors.ErrUnsupported }
func ownerOf(fs.FileInfo) (uid int)              { return -1 }
