package web

import system "golang.org/x/sys/unix"

const (
	// nice is by how much the nice value of a thread for pages is greater: it gets a
	// quarter of a processor that it competes for with one other thread. With less, what
	// waits for a lock of such a thread, or for the runtime to stop it, would wait longer
	// while the processors are busy.
	nice    = 5
	maxNice = 19
)

// lowerPriority gives the calling thread a smaller share of the processors. It needs no
// privilege, and cannot be undone without.
func lowerPriority() {
	attr, err := system.SchedGetAttr(0, 0)
	if err != nil {
		return
	}
	attr.Nice = min(attr.Nice+nice, maxNice)
	system.SchedSetAttr(0, attr, 0) //nolint:errcheck // a sandbox may refuse it
}
