//go:build unix

package main

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// forwarded are the signals that are passed on to the command.
var forwarded = []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2}

// reopening are the signals that reopen the log and do nothing else.
var reopening = []os.Signal{syscall.SIGUSR1}

func kill(pid int, sig os.Signal) {
	_ = syscall.Kill(pid, sig.(syscall.Signal)) // it may have ended by now
}

// fromTerminal reports whether a process that we wait for has a signal by
// itself: a terminal sends those of its keys to all of the process group in its
// foreground.
func fromTerminal(sig os.Signal, pid int) bool {
	if sig != os.Interrupt && sig != syscall.SIGQUIT {
		return false
	}
	group, err := syscall.Getpgid(pid)
	return err == nil && group == syscall.Getpgrp() && foreground()
}

// foreground reports whether this process is in the foreground of a terminal,
// wherever its input and output go.
func foreground() bool {
	terminal, err := os.OpenFile("/dev/tty", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		return false
	}
	defer terminal.Close()
	group, err := unix.IoctlGetInt(int(terminal.Fd()), unix.TIOCGPGRP)
	return err == nil && group == syscall.Getpgrp()
}
