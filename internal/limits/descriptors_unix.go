//go:build unix

package limits

import "golang.org/x/sys/unix"

// descriptors returns the limit of open files, which the Go runtime has raised to
// the hard limit. 0 means no limit.
func descriptors() uint64 {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil || limit.Cur == unix.RLIM_INFINITY {
		return 0
	}
	return uint64(limit.Cur) //nolint:unconvert // has another type on some systems
}
