package alerts

import (
	"fmt"
	"math"
	"time"
)

const hour = 3600.0

// timeline is the time of a replay, in seconds: all is well, then the cause
// stands, and it is over.
type timeline struct{ onset, over, end float64 }

var (
	hours = timeline{1.5 * hour, 5.5 * hour, 7.2 * hour}
	// days is for what compares with the day before, or comes once a day.
	days = timeline{25 * hour, 51 * hour, 52.5 * hour}
)

func (l timeline) stands() span { return span{l.onset, l.over} }

// scenario is a row of the table: what happens, in one variant for each phase
// that calls can have to scrapes.
type scenario struct {
	what, rate string
	variants   [][]program
	// want is the alert that must fire and hold; "" asks that nothing fires but
	// what may.
	want string
	// within is how many minutes the alert may take from the first failed call on,
	// 10 if 0: more where fewer than three calls fall in ten minutes.
	within float64
	may    []string
	// endsLate marks a cause whose end nothing shows until the next call, which is
	// beyond the replay.
	endsLate bool
	// settled is until when nothing is looked at, an hour if 0: a Prometheus without
	// history, and alerts that are meant to be there.
	settled float64
	rare    bool // there are failures, which must not matter
	quick   bool // part of the reduced set
	days    bool // replayed over days
}

// schedule emits the times of calls, and how many came before each.
type schedule func(s span, emit func(second float64, n int))

// steady is so many calls a minute, evenly.
func steady(perMinute, phase float64) schedule {
	every := 60 / perMinute
	return func(s span, emit func(float64, int)) {
		for n := max(0, int(math.Ceil((s.from-phase*every)/every))); ; n++ {
			second := (float64(n) + phase) * every
			if second >= s.to {
				return
			}
			if second >= s.from {
				emit(second, n)
			}
		}
	}
}

// bursts is so many calls within a span of seconds, again and again.
func bursts(count int, length, every, phase float64) schedule {
	return func(s span, emit func(float64, int)) {
		for b := max(0, int(math.Floor((s.from-phase-length)/every))); ; b++ {
			start := float64(b)*every + phase
			if start >= s.to {
				return
			}
			for i := range count {
				if second := start + length*float64(i)/float64(count); s.has(second) {
					emit(second, b*count+i)
				}
			}
		}
	}
}

// calling is a program that calls by a schedule: well, and by kinds in turn while
// a cause stands.
func calling(by schedule, cause span, turn ...*kind) program {
	return program{calls: func(s span, emit func(float64, *kind)) {
		by(s, func(second float64, n int) {
			if cause.has(second) {
				emit(second, turn[n%len(turn)])
			} else {
				emit(second, well)
			}
		})
	}}
}

// always is a program that calls by kinds in turn, all the time.
func always(by schedule, turn ...*kind) program {
	return calling(by, span{0, math.Inf(1)}, turn...)
}

// oneIn is a turn of n calls of which one is k.
func oneIn(n int, k *kind) []*kind {
	turn := make([]*kind, n)
	for i := range turn {
		turn[i] = well
	}
	turn[n*3/20] = k // soon enough for a program that calls seldom
	return turn
}

// both joins what programs at one tap call.
func both(programs ...program) program {
	joined := programs[0]
	joined.calls = func(s span, emit func(float64, *kind)) {
		for _, p := range programs { // a minute's calls need not be in order
			p.calls(s, emit)
		}
	}
	return joined
}

func phases(n int, of func(phase float64) []program) [][]program {
	var all [][]program
	for i := range n {
		all = append(all, of(float64(i)/float64(n)))
	}
	return all
}

// withinOf is 0 where three calls fall in ten minutes; else how long the third
// is in coming, and a scrape and an evaluation after it.
func withinOf(perMinute float64) float64 {
	if third := 2 / perMinute; third > 8 {
		return third + 2
	}
	return 0
}

// scenarios returns all rows, of which those of the timeline are to be replayed.
func scenarios(l timeline) []scenario {
	stands := l.stands()
	rates := []float64{0.1, 0.4, 1, 3, 10, 60, 600}
	var all []scenario
	add := func(s scenario) { all = append(all, s) }
	for _, total := range []struct {
		what, alert string
		kind        *kind
		waits       float64 // minutes, by its "for"
		phases      int     // of bursts
	}{
		{"a key is revoked: every call fails", "KsyunApiAuthFailing", deadKey, 0, 8},
		{"every call is throttled", "KsyunApiThrottled", throttled, 0, 8},
		{"the API fails every call", "KsyunApiOutage", broken, 2, 3},
		{"every call is wrong in itself", "KsyunApiBadRequests", bad, 2, 3},
	} {
		for _, rate := range rates {
			w := withinOf(rate)
			if w > 0 {
				w += total.waits
			}
			add(scenario{
				what: total.what, rate: fmt.Sprintf("%v/min", rate), want: total.alert, within: w, quick: rate == 1 && total.kind != bad || rate == 0.1 && total.kind == deadKey,
				variants: phases(1, func(p float64) []program { return []program{calling(steady(rate, p+0.13), stands, total.kind)} }),
			})
		}
		add(scenario{
			what: total.what, rate: "60 calls every 5 min", want: total.alert,
			variants: phases(total.phases, func(p float64) []program { return []program{calling(bursts(60, 10, 300, p*300), stands, total.kind)} }),
		})
		add(scenario{
			what: total.what, rate: "30 calls every hour", want: total.alert, quick: total.kind == deadKey,
			variants: phases(total.phases, func(p float64) []program { return []program{calling(bursts(30, 40, hour, p*hour), stands, total.kind)} }),
		})
	}
	for _, rate := range []float64{0.1, 1, 10} {
		add(scenario{
			what: "a key is revoked for more than a day", rate: fmt.Sprintf("%v/min", rate), want: "KsyunApiAuthFailing", within: withinOf(rate), days: true,
			variants: [][]program{{calling(steady(rate, 0.4), stands, deadKey)}},
		})
		want := "KsyunApiThrottled"
		if rate == 0.1 {
			want = "" // fewer than three failures in 15 minutes, and not three in a row
		}
		add(scenario{
			what: "half of the calls are throttled for more than a day", rate: fmt.Sprintf("%v/min", rate), want: want, days: true,
			variants: [][]program{{calling(steady(rate, 0.4), stands, throttled, well)}},
		})
	}
	for _, rate := range []float64{2, 10, 60} {
		add(scenario{
			what: "3 of 10 calls are throttled", rate: fmt.Sprintf("%v/min", rate), want: "KsyunApiThrottled", within: 12, quick: rate == 2,
			variants: [][]program{{calling(steady(rate, 0.4), stands, throttled, well, well, throttled, well, well, throttled, well, well, well)}},
		})
	}
	add(scenario{
		what: "half of the calls are throttled", rate: "60 calls every 5 min", want: "KsyunApiThrottled", quick: true,
		variants: phases(8, func(p float64) []program {
			return []program{calling(bursts(60, 10, 300, p*300), stands, throttled, well)}
		}),
	})
	add(scenario{
		what: "half of the calls are throttled", rate: "30 calls every hour", want: "KsyunApiThrottled",
		variants: phases(5, func(p float64) []program {
			return []program{calling(bursts(30, 40, hour, p*hour), stands, throttled, well)}
		}),
	})
	add(scenario{
		what: "a key is revoked: a job a day fails whole", rate: "20 calls every day", want: "KsyunApiAuthFailing", endsLate: true, days: true,
		variants: [][]program{{calling(bursts(20, 60, 24*hour, 3*hour), stands, deadKey)}},
	})
	add(scenario{
		what: "a key is revoked: one of 20 programs at a tap", rate: "60/min", want: "KsyunApiAuthFailing", within: 15, days: true,
		variants: [][]program{{calling(steady(60, 0.5), stands, oneIn(20, deadKey)...)}},
	})
	add(scenario{
		what: "a key is revoked: the smaller of two clusters without a label", rate: "3 and 60/min", want: "KsyunApiAuthFailing", quick: true,
		variants: [][]program{{
			{instance: "large:18180", calls: always(steady(60, 0.5), well).calls},
			{instance: "small:18180", calls: calling(steady(3, 0.5), stands, deadKey).calls},
		}},
	})
	add(scenario{
		what: "the API fails every call of the smaller of two clusters without a label", rate: "1 and 60/min", want: "KsyunApiOutage",
		variants: [][]program{{
			{instance: "large:18180", calls: always(steady(60, 0.5), well).calls},
			{instance: "small:18180", calls: calling(steady(1, 0.5), stands, broken).calls},
		}},
	})
	var fleet []program
	for i := range 20 {
		fleet = append(fleet, program{instance: fmt.Sprintf("tap-%d:18180", i), calls: calling(steady(0.1, float64(i)/20), stands, deadKey).calls})
	}
	add(scenario{what: "a key is revoked: 20 taps of one job", rate: "0.1/min each", want: "KsyunApiAuthFailing", variants: [][]program{fleet}})
	restarts := []span{{0, l.onset + 1.51*hour}}
	for h := 1.5; l.onset+h*hour < l.over; h++ {
		restarts = append(restarts, span{l.onset + h*hour + 60, l.onset + (h+1)*hour + 36})
	}
	restarts = append(restarts, span{l.over + 0.52*hour, math.Inf(1)})
	add(scenario{
		what: "a key is revoked: the tap is restarted every hour", rate: "1/min", want: "KsyunApiAuthFailing", quick: true,
		variants: [][]program{{{calls: calling(steady(1, 0.5), stands, deadKey).calls, lives: restarts}}},
	})
	var pods []program
	for h := range int(l.end / hour) {
		start := float64(h)*hour + 600
		pods = append(pods, program{
			instance: fmt.Sprintf("pod-%d:18180", h), lives: []span{{start, start + 150}},
			calls: calling(bursts(10, 60, hour, 630), stands, deadKey).calls,
		})
	}
	add(scenario{
		what: "a key is revoked: a CronJob whose pods live for two minutes", rate: "10 calls every hour", want: "KsyunApiAuthFailing",
		variants: [][]program{pods},
	})
	add(scenario{
		what: "a tap's first calls all fail", rate: "1/min", want: "KsyunApiAuthFailing", quick: true,
		variants: [][]program{{{calls: calling(steady(1, 0.5), stands, deadKey).calls, lives: []span{{l.onset, math.Inf(1)}}}}},
	})
	for _, rate := range []float64{0.1, 1, 60} {
		one := func(what, alert string, turn ...*kind) {
			add(scenario{
				what: what, rate: fmt.Sprintf("%v/min", rate), want: alert, within: 1/rate*float64(len(turn)) + 3,
				may:      []string{"KsyunApiErrorBudgetBurn/1h", "KsyunApiErrorBudgetBurn/6h", "KsyunApiErrorBudgetBurn/1d", "KsyunApiErrorBudgetBurn/3d"},
				variants: [][]program{{calling(steady(rate, 0.3), stands, turn...)}},
			})
		}
		one("a clock is wrong", "KsyunApiClockSkew", skewed)
		one("a policy is missing", "KsyunApiPermissionDenied", denied)
		one("every second response is an error in a 200", "KsyunApiMaskedErrors", well, masked)
		one("a new code in every second response", "KsyunApiUnknownCodes", well, unheardOf)
	}
	for _, rate := range []float64{0.4, 1, 10, 60} {
		w := 5/rate + 4 // of the last nine measurements, most are of the wrong clock
		for _, clock := range []struct {
			what  string
			ahead time.Duration
		}{{"a program's clock is 6 minutes ahead", 6 * time.Minute}, {"a program's clock is 8 hours behind", -8 * time.Hour}} {
			add(scenario{
				what: clock.what + ", and its calls succeed", rate: fmt.Sprintf("%v/min", rate), want: "KsyunApiClockDrift", within: w, quick: rate == 1,
				variants: [][]program{{calling(steady(rate, 0.3), stands, answeredAhead(clock.ahead))}},
			})
		}
		add(scenario{
			what: "a program's clock is 4 minutes ahead", rate: fmt.Sprintf("%v/min", rate), rare: true,
			variants: [][]program{{calling(steady(rate, 0.3), stands, answeredAhead(4*time.Minute))}},
		})
	}
	add(scenario{
		// Beyond five minutes after 151 minutes. The calls are accepted until 15.
		what: "a program's clock gains 2 seconds a minute until its calls are rejected", rate: "1/min", want: "KsyunApiClockDrift", within: 160,
		may: []string{"KsyunApiClockSkew"},
		variants: [][]program{{{calls: func(s span, emit func(float64, *kind)) {
			steady(1, 0.3)(s, func(second float64, _ int) {
				switch ahead := time.Duration((second - stands.from) / 30 * float64(time.Second)); {
				case !stands.has(second):
					emit(second, well)
				case ahead < 15*time.Minute:
					emit(second, answeredAhead(ahead))
				default:
					emit(second, &kind{skewed.observation, ahead})
				}
			})
		}}}},
	})
	add(scenario{
		what: "one region of two fails", rate: "1/min each", want: "KsyunApiRegionFailing", within: 12,
		variants: [][]program{{both(always(steady(1, 0.5), well), program{calls: func(s span, emit func(float64, *kind)) {
			steady(1, 0.2)(s, func(second float64, _ int) {
				if stands.has(second) {
					emit(second, brokenThere)
				} else {
					emit(second, wellThere)
				}
			})
		}})}},
	})
	add(scenario{
		what: "every batch is answered in part", rate: "1/min", want: "KsyunApiPartialFailures", within: 12,
		variants: [][]program{{calling(steady(1, 0.5), stands, inPart)}},
	})
	add(scenario{
		what: "a tap is down for a day, its job named exporter", rate: "1/min", want: "KsyunTapDown", days: true,
		variants: [][]program{{{calls: always(steady(1, 0.5), well).calls, lives: []span{{0, l.onset}, {l.over, math.Inf(1)}}, down: []span{stands}}}},
	})
	// What must not wake anybody.
	slow := []string{"KsyunApiErrorBudgetBurn/3d"}
	for _, rate := range rates {
		add(scenario{
			what: "one call in a thousand fails by the API", rate: fmt.Sprintf("%v/min", rate), may: slow, days: true, rare: true,
			variants: [][]program{{always(steady(rate, 0.5), oneIn(1000, broken)...)}},
		})
	}
	for _, rate := range []float64{1, 60, 600} {
		add(scenario{
			what: "one call in a thousand is refused for its credentials", rate: fmt.Sprintf("%v/min", rate), rare: true,
			variants: [][]program{{always(steady(rate, 0.5), oneIn(1000, deadKey)...)}},
		})
		add(scenario{
			what: "one call in a thousand is throttled", rate: fmt.Sprintf("%v/min", rate), rare: true,
			variants: [][]program{{always(steady(rate, 0.5), oneIn(1000, throttled)...)}},
		})
		add(scenario{
			what: "one call in a hundred is wrong in itself", rate: fmt.Sprintf("%v/min", rate), rare: true,
			variants: [][]program{{always(steady(rate, 0.5), oneIn(100, bad)...)}},
		})
	}
	add(scenario{
		what: "one reset a day", rate: "0.4/min", days: true, rare: true,
		variants: [][]program{{always(steady(0.4, 0.5), oneIn(576, reset)...)}},
	})
	add(scenario{what: "a tap that has counted failures for long is first scraped", rate: "10/min", quick: true, variants: [][]program{{{
		calls: calling(steady(10, 0.5), span{0, hour}, deadKey, denied, masked, broken, skewed, unheardOf).calls, unseen: []span{{0, 5 * hour}},
	}}}})
	add(scenario{what: "a tap with old failures is not scraped for 20 minutes", rate: "10/min", settled: 2 * hour, variants: [][]program{{{
		calls: calling(steady(10, 0.5), span{0, 0.1 * hour}, deadKey, denied, masked, broken, skewed, unheardOf).calls, unseen: []span{{5 * hour, 5*hour + 1200}},
	}}}})
	add(scenario{
		what: "a tap is restarted every hour", rate: "1/min",
		variants: [][]program{{{calls: always(steady(1, 0.5), well).calls, lives: hourly(l)}}},
	})
	add(scenario{what: "all is well", rate: "1/min", days: true, variants: [][]program{{always(steady(1, 0.5), well)}}})
	return all
}

// hourly are lives of an hour each, with half a minute between.
func hourly(l timeline) []span {
	var all []span
	for h := 0.0; h*hour < l.end; h++ {
		all = append(all, span{h*hour + 30, (h + 1) * hour})
	}
	return all
}
