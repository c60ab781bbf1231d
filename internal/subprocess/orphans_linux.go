package subprocess

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// adopt makes this process the parent of processes that its children leave
// behind. If that fails, init becomes their parent.
func adopt() { _ = unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) }

// orphans returns the children of this process that are running.
func orphans() []int {
	files, _ := filepath.Glob("/proc/self/task/*/children") // the pattern is valid
	var running []int
	for _, file := range files {
		text, _ := os.ReadFile(file) // fails if the thread has ended
		for field := range strings.FieldsSeq(string(text)) {
			if pid, err := strconv.Atoi(field); err == nil && !ended(pid) {
				running = append(running, pid)
			}
		}
	}
	return running
}

// ended reports whether a child has ended, and reaps it if so.
func ended(pid int) bool {
	got, err := syscall.Wait4(pid, nil, syscall.WNOHANG, nil)
	return err != nil || got == pid
}

// reapAll waits until this process has no children.
func reapAll() {
	for {
		if _, err := syscall.Wait4(-1, nil, 0, nil); err != nil && err != syscall.EINTR {
			return
		}
	}
}
