//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"
)

// The proxies run on one core, load and upstream on the other.
const proxyCore, loadCore = "0", "1"

// process is a program that is measured, or its helper.
type process struct {
	cmd    *exec.Cmd
	output bytes.Buffer
}

// start runs a command on one core and waits until it accepts connections.
func start(address, core string, args, env []string) (*process, error) {
	p := &process{cmd: exec.Command("taskset", append([]string{"-c", core}, args...)...)}
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stdout, p.cmd.Stderr = &p.output, &p.output
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	for ctx.Err() == nil {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
		if err == nil {
			conn.Close()
			return p, nil
		}
		time.Sleep(20 * time.Millisecond) //nolint:forbidigo // there is no other way to wait for a foreign process
	}
	err := p.stop()
	return nil, errors.Join(fmt.Errorf("%v does not listen on %s: %s", args, address, p.output.String()), err)
}

// stop terminates the process. It returns an error if the process must be killed.
func (p *process) stop() error {
	p.cmd.Process.Signal(syscall.SIGTERM)
	kill := time.AfterFunc(15*time.Second, func() { p.cmd.Process.Kill() })
	p.cmd.Wait()
	if !kill.Stop() {
		return fmt.Errorf("%v did not stop: %s", p.cmd.Args, p.output.String())
	}
	return nil
}

// pids returns the IDs of the process, which taskset has become, and of its children,
// because nginx works in a child.
func (p *process) pids() []int {
	pids := []int{p.cmd.Process.Pid}
	if children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pids[0], pids[0])); err == nil {
		for field := range strings.FieldsSeq(string(children)) {
			if pid, err := strconv.Atoi(field); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

// cpu returns the CPU time used so far, with nanosecond resolution.
func (p *process) cpu() (time.Duration, error) {
	total := time.Duration(0)
	for _, pid := range p.pids() {
		used, err := cpuClock(int32(^pid<<3 | 2)) // the kernel's MAKE_PROCESS_CPUCLOCK(pid, CPUCLOCK_SCHED)
		if err != nil {
			return 0, fmt.Errorf("CPU time of process %d: %w", pid, err)
		}
		total += used
	}
	return total, nil
}

// usage is the CPU time used so far: by load, upstream and receiver of spans, by a
// proxy, and by everything else on the machine.
type usage struct{ own, proxy, others time.Duration }

func (p *proxy) usage() (u usage, err error) {
	if u.own, err = cpuClock(unix.CLOCK_PROCESS_CPUTIME_ID); err != nil {
		return u, err
	}
	if p.process != nil {
		if u.proxy, err = p.cpu(); err != nil {
			return u, err
		}
	}
	if p.receiver != nil {
		receiver, err := p.receiver.cpu()
		if err != nil {
			return u, err
		}
		u.own += receiver
	}
	machine, err := procfs.NewDefaultFS()
	if err != nil {
		return u, err
	}
	stat, err := machine.Stat()
	if err != nil {
		return u, err
	}
	busy := stat.CPUTotal // guests are part of the first two
	all := busy.User + busy.Nice + busy.System + busy.IRQ + busy.SoftIRQ + busy.Steal
	u.others = time.Duration(all*float64(time.Second)) - u.own - u.proxy
	return u, nil
}

func cpuClock(id int32) (time.Duration, error) {
	var t unix.Timespec
	err := unix.ClockGettime(id, &t)
	return time.Duration(t.Nano()), err
}

// rss returns the resident memory in bytes. Memory that nginx's processes share counts
// twice.
func (p *process) rss() (float64, error) {
	total := 0
	for _, pid := range p.pids() {
		p, err := procfs.NewProc(pid)
		if err != nil {
			return 0, err
		}
		stat, err := p.Stat()
		if err != nil {
			return 0, err
		}
		total += stat.ResidentMemory()
	}
	return float64(total), nil
}

func freeAddress() string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}
