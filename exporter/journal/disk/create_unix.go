//go:build unix

package disk

import "golang.org/x/sys/unix"

// checkCreate reports whether a file can be created in dir.
func checkCreate(dir string) error { return unix.Access(dir, unix.W_OK|unix.X_OK) }
