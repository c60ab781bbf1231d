package main

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// adopt makes this process the parent of those that its children leave behind.
// Where that fails they go to init, and we do not know of them.
func adopt() { _ = unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) }

// orphans returns the children of this process that run.
func orphans() []int {
	files, _ := filepath.Glob("/proc/self/task/*/children") // the pattern is good
	var running []int
	for _, file := range files {
		text, _ := os.ReadFile(file) // a thread that ended has none
		for field := range strings.FieldsSeq(string(text)) {
			if pid, err := strconv.Atoi(field); err == nil && !ended(pid) {
				running = append(running, pid)
			}
		}
	}
	return running
}

// ended reports whether a child has ended, and takes note of it then.
func ended(pid int) bool {
	got, err := syscall.Wait4(pid, nil, syscall.WNOHANG, nil)
	return err != nil || got == pid
}

// reapAll waits until this process has no child any more.
func reapAll() {
	for {
		if _, err := syscall.Wait4(-1, nil, 0, nil); err != nil && err != syscall.EINTR {
			return
		}
	}
}
