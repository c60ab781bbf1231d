//go:build linux

// Command peers compares the tap with nginx, HAProxy and httputil.ReverseProxy in
// one run on one machine, and writes tables in Markdown. The proxies run on one core,
// load and upstream on the other. In each round, every proxy is measured once, and
// figures are compared within a round. Every response is compared with what the
// upstream sent, and the run fails if one differs.
//
//	go run ./bench/peers -rows '^http/1KiB' -only nginx,ksyun-tap -rounds 3 -time 500ms
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

var (
	rounds   = flag.Int("rounds", 15, "rounds for each row, in addition to one for warming up")
	duration = flag.Duration("time", 250*time.Millisecond, "time for each proxy in a round; three times as long at the fixed rate")
	only     = flag.String("only", "", "comma-separated contenders instead of all except ksyun-tap+log: "+strings.Join(contenders, ", "))
	rows     = flag.String("rows", "", "regular expression of rows to measure, such as http/1KiB/64/10%, https/60KiB/rate/0%, intercept or memory, instead of those in the documentation")
	baseline = flag.String("baseline", "", "comma-separated binaries of ksyun-tap to measure as well, such as one built before a change; their file names are their names in the tables")
	profiles = flag.String("profile", "", "directory for a CPU profile of ksyun-tap under each load, which it has to be measured under alone")
	calls    = flag.Int("calls", 1_000_000, "calls before memory/calls is measured")
	pairs    = flag.Int("pairs", 10_000, "idle connections for memory/pairs and memory/pairs/intercept, limited by RLIMIT_NOFILE")

	role     = flag.String("role", "", "internal: role of this process")
	listen   = flag.String("listen", "", "internal: address of the role")
	upstream = flag.String("upstream", "", "internal: upstream of the role")
	cert     = flag.String("cert", "", "internal: certificate of the role")
	tlsIn    = flag.Bool("tls-in", false, "internal: TLS to the role")
	tlsOut   = flag.Bool("tls-out", false, "internal: TLS from the role to the upstream")
)

func main() {
	log.SetFlags(0)
	flag.Parse()
	var err error
	switch *role {
	case "":
		err = pin()
	case "load":
		err = compare()
	case "reverseproxy":
		err = serveReverseProxy(*listen, *upstream, *cert, *tlsIn, *tlsOut)
	case "receiver":
		err = serveReceiver(*listen)
	}
	if err != nil {
		log.Fatal("peers: ", err)
	}
}

// pin replaces this process by itself, pinned to one core.
func pin() error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	taskset, err := exec.LookPath("taskset")
	if err != nil {
		return err
	}
	args := append([]string{"taskset", "-c", loadCore, self, "-role=load"}, os.Args[1:]...)
	return syscall.Exec(taskset, args, append(os.Environ(), "GOMAXPROCS=2"))
}

func compare() error {
	loads, memory, err := selectRows(*rows)
	if err != nil {
		return err
	}
	b := &bench{
		rounds: *rounds, duration: *duration, calls: *calls,
		results: results{byLoad: map[string]measured{}, memory: map[string]map[string]float64{}},
	}
	if b.names, err = selectContenders(*only); err != nil {
		return err
	}
	if *baseline != "" {
		for path := range strings.SplitSeq(*baseline, ",") {
			name := filepath.Base(path)
			if slices.Contains(contenders, name) {
				return fmt.Errorf("-baseline: %s needs another file name", path)
			}
			baselines[name] = path
			contenders = append(contenders, name)
			b.names = append(b.names, name)
		}
	}
	if *profiles != "" && !slices.Equal(b.names, []string{tap}) {
		return errors.New("-profile: needs -only ksyun-tap")
	}
	files, err := raiseFiles(max(usualFiles, filesFor(*pairs)))
	if err != nil {
		return err
	}
	b.pairs = min(*pairs, (files-filesFor(0))/2)
	if b.binaries, err = os.MkdirTemp("", "peers"); err != nil {
		return err
	}
	defer os.RemoveAll(b.binaries)
	build := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", filepath.Join(b.binaries, "ksyun-tap"), "./cmd/ksyun-tap")
	build.Env = append(os.Environ(), "CGO_ENABLED=0") // all as for a release
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build the tap: %w\n%s", err, out)
	}
	for _, l := range loads {
		if err := b.measure(l); err != nil {
			return fmt.Errorf("%s: %w", l, err)
		}
	}
	for _, what := range memory {
		for _, name := range b.names {
			// A million calls through ReverseProxy would take a minute and show little.
			if name == direct || name == reverseProxy && what == memoryCalls {
				continue
			}
			if err := b.measureMemory(what, name); err != nil {
				return fmt.Errorf("%s: %w", what, err)
			}
		}
	}
	b.describe(os.Stdout)
	b.results.report(os.Stdout)
	return nil
}

// selectRows returns the rows that match, or those of the documentation.
func selectRows(pattern string) (loads []load, memory []string, err error) {
	re, err := regexp.Compile(pattern)
	if err != nil {
		return nil, nil, err
	}
	documented := slices.Clone(withoutGoal)
	for _, row := range goals {
		for _, g := range row.parts {
			documented = append(documented, g.load)
		}
	}
	selected := func(name string) bool {
		if pattern == "" {
			return slices.Contains(documented, name)
		}
		return re.MatchString(name)
	}
	for _, l := range allLoads() {
		if selected(l.String()) {
			loads = append(loads, l)
		}
	}
	for _, name := range memories {
		if selected(name) {
			memory = append(memory, name)
		}
	}
	if len(loads)+len(memory) == 0 {
		return nil, nil, fmt.Errorf("no row matches %q; the first are %v", pattern, allLoads()[:3])
	}
	return loads, memory, nil
}

func selectContenders(list string) ([]string, error) {
	if list == "" {
		return slices.Clone(contenders[:len(contenders)-1]), nil
	}
	names := strings.Split(list, ",")
	for _, name := range names {
		if !slices.Contains(contenders, name) {
			return nil, fmt.Errorf("-only: %q is not one of %s", name, strings.Join(contenders, ", "))
		}
	}
	return names, nil
}

// raiseFiles raises the limit of file descriptors, also for child processes, to want
// or as far as allowed, and returns the limit.
func raiseFiles(want int) (int, error) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 0, err
	}
	raised := syscall.Rlimit{Cur: uint64(want), Max: max(uint64(want), limit.Max)}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &raised); errors.Is(err, syscall.EPERM) {
		raised = syscall.Rlimit{Cur: limit.Max, Max: limit.Max}
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &raised); err != nil {
			return 0, err
		}
	} else if err != nil {
		return 0, err
	}
	return int(raised.Cur), nil
}

// describe writes the machine, the versions and the parameters of the run.
func (b *bench) describe(w io.Writer) {
	first := func(name string, args ...string) string {
		out, _ := exec.Command(name, args...).CombinedOutput() // nginx writes to standard error
		line, _, _ := strings.Cut(string(out), "\n")
		return line
	}
	processor := "unknown processor"
	if info, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		if _, after, ok := strings.Cut(string(info), "model name\t: "); ok {
			processor, _, _ = strings.Cut(after, "\n")
		}
	}
	fmt.Fprintf(w, "%s, %s; %s; %s; %s; commit %s.\n%d rounds of %v; %d calls before memory is read, %d idle pairs.\n\n",
		processor, first("uname", "-sr"), first("nginx", "-v"), first("haproxy", "-v"), runtime.Version(),
		first("git", "describe", "--always", "--dirty"), b.rounds, b.duration, b.calls, b.pairs)
}
