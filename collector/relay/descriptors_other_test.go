//go:build !linux && !darwin

package relay

import "testing"

// descriptors returns n: the limit is left as it is.
func descriptors(_ *testing.T, n uint64) int { return int(n) }
