//go:build linux

package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// bench is one run of the comparison.
type bench struct {
	names    []string // of the contenders
	rounds   int
	duration time.Duration
	calls    int    // for memoryCalls
	pairs    int    // for memoryPairs
	binaries string // directory of the tap
	results  results
}

// usualFiles is the number of file descriptors that a proxy is configured for. nginx
// allocates memory for each in advance.
const usualFiles = 4096

// filesFor returns the number of descriptors for n connections on either side, with
// some to spare.
func filesFor(n int) int { return 2*n + 400 }

// onSite runs f with a new upstream and a new directory, for proxies with the given
// number of file descriptors.
func (b *bench) onSite(w way, kib, files int, f func(*loop, *site, *responses) error) error {
	dir, err := os.MkdirTemp("", "peers")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	s, err := newSite(dir, b.binaries, w, files)
	if err != nil {
		return err
	}
	l, err := newLoop()
	if err != nil {
		return err
	}
	defer l.close()
	a := newResponses(kib << 10)
	if s.Upstream, err = l.serve(a, s.serverTLS()); err != nil {
		return err
	}
	return f(l, s, a)
}

// order returns the order of the contenders in a round. Each is first equally often, and comes
// after each of its neighbours equally often: what one leaves to do may disturb the next.
func order(names []string, round int) []string {
	first := round / 2 % len(names)
	turns := slices.Concat(names[first:], names[:first])
	if round%2 == 1 {
		slices.Reverse(turns)
	}
	return turns
}

// measure runs the rounds of one load. In each round, every contender is measured
// once.
func (b *bench) measure(under load) error {
	return b.onSite(under.way, under.kib, usualFiles, func(l *loop, s *site, a *responses) (err error) {
		proxies := map[string]*proxy{}
		defer func() {
			for _, p := range proxies {
				err = errors.Join(err, p.stop())
			}
		}()
		for _, name := range b.names {
			if proxies[name], err = s.launch(name); err != nil {
				delete(proxies, name)
				return fmt.Errorf("%s: %w", name, err)
			}
		}
		m := measured{}
		var profiling errgroup.Group
		if p := proxies[tap]; *profiles != "" {
			profiling.Go(func() error { return p.profile(under, time.Duration(b.rounds)*(leadIn+b.duration)) })
		}
		for round := range b.rounds + 1 {
			for _, name := range order(b.names, round) {
				d := b.duration
				if round == 0 { // warming up
					d /= 2
				}
				sample, err := l.sample(proxies[name], a, under, d)
				if err != nil {
					return fmt.Errorf("%s: %w", name, err)
				}
				if round > 0 {
					m[name] = append(m[name], sample)
				}
			}
			fmt.Fprintf(os.Stderr, "%s: round %d of %d\n", under, round, b.rounds)
		}
		if err := profiling.Wait(); err != nil {
			return err
		}
		b.results.loads = append(b.results.loads, under)
		b.results.byLoad[under.String()] = m
		for name, p := range proxies {
			dropped, err := p.checkSinks(l)
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			delete(dropped, "logs") // lines are sampled
			if len(dropped) > 0 {
				b.results.notes = append(b.results.notes, fmt.Sprintf("%s, %s: all of %d calls were counted; some did not reach all sinks: %s.",
					under, name, p.calls, strings.Trim(fmt.Sprint(dropped), "map[]")))
			}
		}
		return nil
	})
}

// profile writes a CPU profile of the tap for about d.
func (p *proxy) profile(under load, d time.Duration) error {
	resp, err := http.Get(fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%.0f", p.web, max(1, d.Seconds())))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("profile: %s", resp.Status)
	}
	f, err := os.Create(filepath.Join(*profiles, strings.NewReplacer("/", "-", "%", "").Replace(under.String())+".pprof"))
	if err != nil {
		return err
	}
	_, err = io.Copy(f, resp.Body)
	return errors.Join(err, f.Close())
}

// leadIn is for how long calls are made before they are measured. A proxy may put work off,
// as the tap does with failures for up to 100 ms: with the lead-in, as much is left over from
// it as is put off beyond the end.
const leadIn = 200 * time.Millisecond

// sample measures one contender for d.
func (l *loop) sample(p *proxy, a *responses, under load, d time.Duration) (sample, error) {
	connections := cmp.Or(under.connections, 64)
	c, err := l.connect(p.address, p.clientTLS(), connections, a, under.errors)
	if err != nil {
		return sample{}, err
	}
	defer func() {
		c.close()
		p.calls += c.calls
	}()
	if err := c.runCount(4 * connections); err != nil { // opens as many connections to the upstream
		return sample{}, err
	}
	runFor := c.runClosed
	if under.connections == 0 {
		runFor = func(d time.Duration) (run, error) { return c.runOpen(d, time.Second/fixedRate) }
		d *= 3
	}
	if _, err := runFor(leadIn); err != nil {
		return sample{}, err
	}
	before, err := p.usage()
	if err != nil {
		return sample{}, err
	}
	r, err := runFor(d)
	if err != nil {
		return sample{}, err
	}
	after, err := p.usage()
	if err != nil {
		return sample{}, err
	}
	own, proxy, others := after.own-before.own, after.proxy-before.proxy, after.others-before.others
	slices.Sort(r.latencies)
	s := sample{
		perSecond: float64(len(r.latencies)) / r.elapsed.Seconds(),
		cpu:       proxy / time.Duration(len(r.latencies)),
		p50:       percentile(r.latencies, 0.5),
		p99:       percentile(r.latencies, 0.99),
		proxy:     float64(proxy) / float64(r.elapsed),
		load:      float64(own) / float64(r.elapsed),
		others:    max(0, float64(others)/float64(r.elapsed)),
	}
	if p.process != nil {
		s.rss, err = p.rss()
	}
	return s, err
}
