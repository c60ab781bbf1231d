//go:build linux || darwin

package relay

import (
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// descriptors raises the limit on open files to n, or to what is allowed, and
// returns it.
func descriptors(t *testing.T, n uint64) int {
	t.Helper()
	var old syscall.Rlimit
	require.NoError(t, syscall.Getrlimit(syscall.RLIMIT_NOFILE, &old))
	t.Cleanup(func() { syscall.Setrlimit(syscall.RLIMIT_NOFILE, &old) })
	if old.Cur >= n {
		return int(n)
	}
	want := syscall.Rlimit{Cur: n, Max: max(n, old.Max)}
	if syscall.Setrlimit(syscall.RLIMIT_NOFILE, &want) != nil { // not allowed
		want = syscall.Rlimit{Cur: min(n, old.Max), Max: old.Max}
		require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &want))
	}
	return int(want.Cur)
}
