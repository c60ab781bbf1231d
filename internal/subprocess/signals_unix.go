//go:build unix

package subprocess

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// forwarded are the signals that are forwarded to the command.
var forwarded = []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2}

func kill(pid int, sig os.Signal) {
	_ = syscall.Kill(pid, sig.(syscall.Signal)) // fails if it has ended
}

// fromTerminal reports whether a child got the signal from the terminal, which
// sends the signals of its keys to all processes of its foreground process group.
func fromTerminal(sig os.Signal, pid int) bool {
	if sig != os.Interrupt && sig != syscall.SIGQUIT {
		return false
	}
	group, err := syscall.Getpgid(pid)
	return err == nil && group == syscall.Getpgrp() && foreground()
}

// foreground reports whether this process is in the foreground process group of a
// terminal, even if its standard streams are redirected.
func foreground() bool {
	terminal, err := os.OpenFile("/dev/tty", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		return false
	}
	defer terminal.Close()
	group, err := unix.IoctlGetInt(int(terminal.Fd()), unix.TIOCGPGRP)
	return err == nil && group == syscall.Getpgrp()
}
