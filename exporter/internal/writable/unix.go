//go:build unix

// Package writable reports whether files can be created.
package writable

import "golang.org/x/sys/unix"

// Check returns an error if no file can be created in dir. It creates none.
func Check(dir string) error { return unix.Access(dir, unix.W_OK|unix.X_OK) }
