package subprocess

import (
	"os"
	"syscall"
)

// forwarded are the signals that are forwarded to the command.
var forwarded = []os.Signal{os.Interrupt, syscall.SIGTERM}

// kill does nothing: on Windows, no orphaned processes become the tap's children.
func kill(int, os.Signal) {}

// fromTerminal reports whether a child got the signal from the console, which
// sends interrupts to all of its processes.
func fromTerminal(sig os.Signal, _ int) bool { return sig == os.Interrupt }
