//go:build unix

package main

import (
	"os"
	"syscall"
)

// reopening are the signals that only reopen the log.
var reopening = []os.Signal{syscall.SIGUSR1}
