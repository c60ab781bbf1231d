// Command peers measures the tap beside nginx and a bare httputil.ReverseProxy
// in one run on one machine: requests per second, CPU time per request and
// memory of each, as ratios to nginx. The proxies run on one core, upstream and
// load on another; rounds alternate, and the median of the rounds is told.
//
//	go run ./bench/peers -rounds 5 -time 3s
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

var (
	role     = flag.String("role", "", "internal: upstream or reverseproxy")
	listen   = flag.String("listen", "", "internal: address of the role")
	upstream = flag.String("upstream", "", "internal: upstream of the role")

	rounds   = flag.Int("rounds", 5, "rounds per contender")
	duration = flag.Duration("time", 3*time.Second, "length of a round")
	conns    = flag.Int("connections", 64, "concurrent connections")
	size     = flag.Int("size", 1024, "bytes of a successful answer's body")
	errRate  = flag.Int("errors", 10, "percent of answers that are errors")
	only     = flag.String("only", "", "comma-separated contenders; all when empty")
)

const host = "monitor.api.ksyun.com"

func main() {
	log.SetFlags(0)
	flag.Parse()
	var err error
	switch *role {
	case "upstream":
		err = serveUpstream(*listen, *size, *errRate)
	case "reverseproxy":
		err = serveReverseProxy(*listen, *upstream)
	default:
		err = compare()
	}
	if err != nil {
		log.Fatal("peers: ", err)
	}
}

// contender is one proxy under measurement.
type contender struct {
	name    string
	address string
	command []string // nil: nothing of ours is between load and upstream
	env     []string
	rounds  []round
	cmd     *exec.Cmd
}

// round is what one round measured.
type round struct {
	perSecond float64
	cpu       time.Duration // of the proxy, per request
	p50, p99  time.Duration
	rss       int // KiB
}

func compare() (err error) {
	dir, err := os.MkdirTemp("", "peers")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	self, err := os.Executable()
	if err != nil {
		return err
	}
	tap := filepath.Join(dir, "ksyun-tap")
	if out, err := exec.Command("go", "build", "-o", tap, "./cmd/ksyun-tap").CombinedOutput(); err != nil {
		return fmt.Errorf("build the tap: %w\n%s", err, out)
	}
	up := freeAddress()
	stopUpstream, err := start(&contender{
		name: "upstream", address: up,
		command: []string{self, "-role", "upstream", "-listen", up, "-size", strconv.Itoa(*size), "-errors", strconv.Itoa(*errRate)},
	}, "1")
	if err != nil {
		return err
	}
	defer stopUpstream()

	contenders, err := lineUp(dir, self, tap, up)
	if err != nil {
		return err
	}
	for _, c := range contenders {
		if c.command == nil {
			continue
		}
		stop, err := start(c, "0")
		if err != nil {
			return err
		}
		defer stop()
	}
	pinSelf("1")
	for n := range *rounds + 1 { // the first warms up
		for _, c := range contenders {
			r, err := measure(c, *duration)
			if err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
			if n > 0 {
				c.rounds = append(c.rounds, r)
			}
			fmt.Fprintf(os.Stderr, "round %d of %d: %-14s %8.0f requests/s\n", n, *rounds, c.name, r.perSecond)
		}
	}
	report(contenders)
	return nil
}

// lineUp returns the contenders that this machine can run.
func lineUp(dir, self, tap, up string) ([]*contender, error) {
	nginx, err := exec.LookPath("nginx")
	if err != nil {
		return nil, errors.New("nginx is not installed: apt-get install nginx-light")
	}
	nginxAddress, conf := freeAddress(), filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(conf, []byte(nginxConf(dir, nginxAddress, up)), 0o600); err != nil {
		return nil, err
	}
	tapArgs := func(address string, more ...string) []string {
		return append([]string{
			tap, "run", "--proxy.listen-address=" + address, "--web.listen-address=" + freeAddress(),
			"--upstream.connect-to=" + host + ":80=" + up, "--log.file=" + filepath.Join(dir, "tap"+address+".log"),
		}, more...)
	}
	tapAddress, tapAccess, reverse := freeAddress(), freeAddress(), freeAddress()
	all := []*contender{
		{name: "direct", address: up},
		{name: "nginx", address: nginxAddress, command: []string{nginx, "-c", conf, "-g", "daemon off;"}},
		{name: "ksyun-tap", address: tapAddress, command: tapArgs(tapAddress), env: []string{"GOMAXPROCS=1"}},
		{name: "ksyun-tap+log", address: tapAccess, command: tapArgs(tapAccess, "--log.access"), env: []string{"GOMAXPROCS=1"}},
		{name: "ReverseProxy", address: reverse, command: []string{self, "-role", "reverseproxy", "-listen", reverse, "-upstream", up}, env: []string{"GOMAXPROCS=1"}},
	}
	if *only != "" {
		names := strings.Split(*only, ",")
		all = slices.DeleteFunc(all, func(c *contender) bool { return !slices.Contains(names, c.name) })
	}
	return all, nil
}

// nginxConf is a reverse proxy with one worker, upstream keep-alive and a JSON
// access log: what a careful user would write to get part of the tap's duty.
func nginxConf(dir, address, up string) string {
	return `
worker_processes 1;
pid ` + dir + `/nginx.pid;
error_log ` + dir + `/error.log;
events { worker_connections 4096; }
http {
  client_body_temp_path ` + dir + `/body; proxy_temp_path ` + dir + `/proxy;
  fastcgi_temp_path ` + dir + `/f; uwsgi_temp_path ` + dir + `/u; scgi_temp_path ` + dir + `/s;
  log_format json escape=json '{"ts":"$time_iso8601","method":"$request_method","uri":"$request_uri","host":"$host","status":$status,"bytes":$bytes_sent,"duration":$request_time,"upstream":"$upstream_addr","upstream_duration":"$upstream_response_time","action":"$arg_Action","request_id":"$upstream_http_x_ksc_request_id"}';
  access_log ` + dir + `/access.log json buffer=64k flush=1s;
  keepalive_requests 1000000000;
  upstream api { server ` + up + `; keepalive 128; keepalive_requests 1000000000; }
  server {
    listen ` + address + `;
    location / {
      proxy_pass http://api;
      proxy_http_version 1.1;
      proxy_set_header Host $http_host;
      proxy_set_header Connection "";
    }
  }
}
`
}

// start runs a contender on one core and waits until it accepts connections.
func start(c *contender, core string) (stop func(), err error) {
	c.cmd = exec.Command("taskset", append([]string{"-c", core}, c.command...)...)
	c.cmd.Env = append(os.Environ(), c.env...)
	var output bytes.Buffer
	c.cmd.Stdout, c.cmd.Stderr = &output, &output
	if err := c.cmd.Start(); err != nil {
		return nil, err
	}
	stop = func() {
		_ = c.cmd.Process.Signal(os.Interrupt)
		_ = c.cmd.Wait()
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	for ctx.Err() == nil {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", c.address)
		if err == nil {
			conn.Close()
			return stop, nil
		}
		time.Sleep(20 * time.Millisecond) //nolint:forbidigo // a foreign process has no better sign of life
	}
	stop()
	return nil, fmt.Errorf("%s does not listen on %s: %s", c.name, c.address, output.String())
}

func pinSelf(core string) {
	out, err := exec.Command("taskset", "-a", "-cp", core, strconv.Itoa(os.Getpid())).CombinedOutput()
	if err != nil {
		log.Printf("load is not pinned: %v: %s", err, out)
	}
}

func freeAddress() string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

func report(contenders []*contender) {
	base := 0.0
	for _, c := range contenders {
		if c.name == "nginx" {
			base = median(c.rounds, func(r round) float64 { return r.perSecond })
		}
	}
	fmt.Printf("%d connections, bodies of %d bytes, %d %% errors, median of %d rounds of %v\n", *conns, *size, *errRate, *rounds, *duration)
	w := tabwriter.NewWriter(os.Stdout, 0, 8, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "contender\trequests/s\tx nginx\tCPU/request\tp50\tp99\tRSS\t")
	for _, c := range contenders {
		perSecond := median(c.rounds, func(r round) float64 { return r.perSecond })
		cpu := time.Duration(median(c.rounds, func(r round) float64 { return float64(r.cpu) }))
		p50 := time.Duration(median(c.rounds, func(r round) float64 { return float64(r.p50) }))
		p99 := time.Duration(median(c.rounds, func(r round) float64 { return float64(r.p99) }))
		rss := median(c.rounds, func(r round) float64 { return float64(r.rss) })
		ratio := "-"
		if base > 0 {
			ratio = fmt.Sprintf("%.2f", perSecond/base)
		}
		fmt.Fprintf(w, "%s\t%.0f\t%s\t%v\t%v\t%v\t%.1f MiB\t\n", c.name, perSecond, ratio,
			cpu.Round(100*time.Nanosecond), p50.Round(time.Microsecond), p99.Round(time.Microsecond), rss/1024)
	}
	_ = w.Flush()
}

func median(rounds []round, of func(round) float64) float64 {
	if len(rounds) == 0 {
		return 0
	}
	values := make([]float64, len(rounds))
	for i, r := range rounds {
		values[i] = of(r)
	}
	slices.Sort(values)
	return values[len(values)/2]
}
