package main

import (
	"os"
	"syscall"
)

// forwarded are the signals that are passed on to the command: those there are
// on Windows.
var forwarded = []os.Signal{os.Interrupt, syscall.SIGTERM}

// reopening are the signals that reopen the log: there is none on Windows.
var reopening []os.Signal

// kill has nothing to do: no process is left to the tap on Windows.
func kill(int, os.Signal) {}

// fromTerminal reports that a console sends its interrupts to all that run on
// it.
func fromTerminal(sig os.Signal, _ int) bool { return sig == os.Interrupt }
