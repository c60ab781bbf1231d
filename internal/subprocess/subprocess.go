// Package subprocess runs a command in the place of this process: it passes signals on,
// waits for the processes that the command leaves, and returns its exit code.
package subprocess

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
)

// The exit codes for a command that could not be run or was killed, as in a shell.
const (
	cannotRun = 126
	notFound  = 127
	killed    = 128 // plus the number of the signal
)

// Run runs cmd until it has ended, and then waits for the processes that it left
// running, such as a daemon. If there are any, it calls left with their number first.
// Signals of this process are passed on to cmd and to those processes.
//
// code is the exit code of cmd, or what a shell returns for a command that cannot be
// started or was killed; if err is not nil, it is not 0. started is false if cmd could
// not be started.
func Run(cmd *exec.Cmd, left func(n int)) (started bool, code int, err error) {
	adopt()
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, forwarded...)
	defer signal.Stop(signals)
	if err := cmd.Start(); err != nil {
		code := cannotRun
		if errors.Is(err, exec.ErrNotFound) || errors.Is(err, os.ErrNotExist) {
			code = notFound
		}
		return false, code, fmt.Errorf("run %s: %w", cmd.Args[0], err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		err = cmd.Wait()
	}()
	forward(signals, ended, func(sig os.Signal) {
		if !fromTerminal(sig, cmd.Process.Pid) {
			_ = cmd.Process.Signal(sig) // it may have ended by now
		}
	})
	outlive(signals, left)
	code, err = result(cmd.ProcessState, err)
	return true, code, err
}

// forward calls send for each signal until done is closed.
func forward(signals <-chan os.Signal, done <-chan struct{}, send func(os.Signal)) {
	for {
		select {
		case sig := <-signals:
			send(sig)
		case <-done:
			return
		}
	}
}

// outlive waits for processes that the command left running.
func outlive(signals <-chan os.Signal, left func(n int)) {
	running := orphans()
	if len(running) == 0 {
		return
	}
	left(len(running))
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		reapAll()
	}()
	forward(signals, gone, func(sig os.Signal) {
		for _, pid := range orphans() {
			if !fromTerminal(sig, pid) {
				kill(pid, sig)
			}
		}
	})
}

// result returns the exit code of a command that has ended. err is that of its Wait.
func result(state *os.ProcessState, err error) (int, error) {
	if state == nil {
		return 1, err
	}
	status, ok := state.Sys().(syscall.WaitStatus)
	switch code := state.ExitCode(); {
	case ok && status.Signaled():
		return killed + int(status.Signal()), nil
	case code != 0:
		return code, nil
	case err != nil:
		return 1, fmt.Errorf("read or write for the command: %w", err)
	}
	return 0, nil
}
