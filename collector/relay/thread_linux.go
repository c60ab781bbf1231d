package relay

import (
	"time"

	"golang.org/x/sys/unix"
)

// slice is how long a loop's thread asks to run at a time: the least that Linux grants.
const slice = 100 * time.Microsecond

// preferThread has Linux run the calling thread as soon as it wakes up, even if the
// thread that runs then has not used up its own time slice, which is longer. The
// threads' shares of processor time do not change, and it needs no privilege. Linux
// before 6.12 ignores it.
func preferThread() {
	attr, err := unix.SchedGetAttr(0, 0)
	if err != nil {
		return
	}
	attr.Runtime = uint64(slice)
	unix.SchedSetAttr(0, attr, 0) //nolint:errcheck // a sandbox may refuse it
}
