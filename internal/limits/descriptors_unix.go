//go:build unix

package limits

import "golang.org/x/sys/unix"

// descriptors returns the limit of open files; the runtime has raised it as far
// as it may. 0 is none.
func descriptors() uint64 {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil || limit.Cur == unix.RLIM_INFINITY {
		return 0
	}
	return uint64(limit.Cur) //nolint:unconvert // of another type on some systems
}
