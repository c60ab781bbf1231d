package ruletests

import (
	"fmt"
	"maps"
)

// state is what the tests know of a state.
type state struct {
	name    string
	failing []labels // attempts that fail by its causes
	row     []string // categories of failures that count since the last success
	other   labels   // attempts that fail by other causes
	of      float64  // one failure of so many calls is the threshold
	hold    int      // minutes that it lasts without calls
	spikes  bool
}

var states = []state{
	{name: "auth", failing: []labels{auth}, row: []string{"auth"}, other: limited, of: 10, hold: 1500, spikes: true},
	{name: "throttled", failing: []labels{limited}, row: []string{"throttled"}, other: auth, of: 10, hold: 75, spikes: true},
	{name: "outage", failing: []labels{server, timeout}, row: []string{"server", "timeout", "network"}, other: wrong, of: 2, hold: 75},
	{name: "bad_requests", failing: []labels{wrong}, row: []string{"request", "not_found", "too_large"}, other: server, of: 2, hold: 1500},
}

func (s state) record() string { return "service:ksyun_api_" + s.name + ":state" }

const attempts = "instance_category_blame:ksyun_api_attempts:increase15m"

// counted is the series of the number of calls of a kind in the last 15 minutes.
func counted(tap, kind labels, count func(int) float64) series {
	all := maps.Clone(kind)
	maps.Copy(all, tap)
	return series{attempts, all, count}
}

// share returns the series of a tap of which some calls fail by a cause, and others
// succeed, from a minute on for 15 minutes, and further numbers from later ones.
func share(tap, kind labels, from, failing, succeeding float64, later ...[3]float64) []series {
	var failed, well []float64
	set := func(changes []float64, minute, count float64) []float64 {
		if count == 0 { // the record has no zeros
			return append(changes, minute, stale, minute+1, none)
		}
		return append(changes, minute, count)
	}
	for _, l := range append([][3]float64{{from, failing, succeeding}}, later...) {
		failed, well, from = set(failed, l[0], l[1]), set(well, l[0], l[2]), l[0]
	}
	return []series{
		counted(tap, kind, steps(none, set(failed, from+15, 0)...)),
		counted(tap, success, steps(none, set(well, from+15, 0)...)),
	}
}

// at is the minute at which states begin.
const at = 5

// row returns the series of a tap that counts failures since its last success, a
// time in minutes.
func row(tap labels, category string, failures, lastSuccess float64) []series {
	of := tap.with("service", "monitor")
	return []series{
		{"ksyun_api_errors_since_success", of.with("category", category), steps(none, at, failures)},
		{"ksyun_api_last_success_timestamp_seconds", of, steps(none, at, lastSuccess*60)},
		{"ksyun_api_last_error_timestamp_seconds", of.with("category", category), steps(none, at, at*60)},
	}
}

// onStates returns the tests of when states begin, and of what keeps them on.
func onStates() file {
	f := file{about: "When the states of a service begin, and which share of the calls keeps them on.", every: 1}
	for _, s := range states {
		f.tests = append(f.tests, s.begins(), s.inARow(), s.lasts(), s.others())
	}
	return f
}

// begins is about shares of the calls of one tap, and of a job.
func (s state) begins() test {
	st := story{test: test{name: s.record() + ", begins"}}
	busy := func(job string) []series {
		return share(tap(job).with("instance", "busy"), s.failing[0], at, 0, 100000)
	}
	for i, kind := range s.failing {
		job := func(name string) string { return fmt.Sprintf("%s, cause %d", name, i) }
		one := job("one tap")
		st.add(busy(one), share(tap(one), kind, at, 3, 3*(s.of-1)))
		st.expect(one, 1/s.of, at, at)
		whole := job("one tap, all calls")
		st.add(busy(whole), share(tap(whole), kind, at, 3, 0))
		st.expect(whole, 1, at, at)
		fleet, fleetWhole := job("three taps"), job("three taps, all calls")
		for _, instance := range []string{"i", "j", "k"} {
			st.add(share(tap(fleet).with("instance", instance), kind, at, 1, s.of-1),
				share(tap(fleetWhole).with("instance", instance), kind, at, 1, 0))
		}
		st.expect(fleet, 1/s.of, at, at)
		st.expect(fleetWhole, 1, at, at)
		st.add(
			share(tap(job("two failures")), kind, at, 2, 2),
			share(tap(job("two failures of five")), kind, at, 2, 3),
			share(tap(job("below")), kind, at, 3, 3*(s.of-1)+1))
	}
	st.add(share(tap("other causes"), s.other, at, 30, 0))
	return st.at(s.record(), s.record(), at-1, at)
}

// inARow is about failures without a success.
func (s state) inARow() test {
	st := story{test: test{name: s.record() + ", in a row"}}
	other := s.other["category"]
	for _, category := range s.row {
		job := category + " in a row"
		st.add(row(tap(job), category, 3, 0))
		st.expect(job, 1, at, at+1)
		job = category + " among others in a row"
		st.add(row(tap(job), category, 3, 0), row(tap(job), other, 1, 0)[:1])
		st.expect(job, 0.75, at, at+1)
	}
	first := s.row[0]
	st.add(row(tap("two in a row"), first, 2, 0), row(tap("two in a row"), other, 2, 0)[:1],
		row(tap("others in a row"), other, 3, 0),
		row(tap("a success two minutes ago"), first, 3, at-2))
	for _, twin := range tap("a success two minutes ago").with("service", "monitor").twins("cluster", "namespace", "job", "service", "instance") {
		st.add([]series{{"ksyun_api_last_success_timestamp_seconds", twin, steps(0)}})
	}
	st.expect("a success two minutes ago", 1, at+1, at+1)
	return st.at(s.record(), s.record(), at-1, at, at+1)
}

// lasts is about the share below which a state ends.
func (s state) lasts() test {
	st := story{test: test{name: s.record() + ", lasts"}}
	half := 1 / s.of / 2
	busy := func(job string) []series {
		return share(tap(job).with("instance", "busy"), s.failing[0], at, 0, 100000, [3]float64{at + 15, 0, 100000}, [3]float64{at + 30, 0, 100000})
	}
	for i, kind := range s.failing {
		job := fmt.Sprintf("half, then less, cause %d", i)
		st.add(busy(job), share(tap(job), kind, at, 3, 0, [3]float64{at + 15, 1, 2*s.of - 1}, [3]float64{at + 30, 1, 2 * s.of}))
		st.expect(job, 1, at, at+14)
		st.expect(job, half, at+15, at+29)
		job = fmt.Sprintf("ends, half after 9 minutes, cause %d", i)
		st.add(share(tap(job), kind, at, 3, 0, [3]float64{at + 15, 0, 1}, [3]float64{at + 23, 1, 2*s.of - 1}))
		st.expect(job, 1, at, at+14)
		st.expect(job, half, at+23, 1000)
		job = fmt.Sprintf("ends, half after 12 minutes, cause %d", i)
		st.add(share(tap(job), kind, at, 3, 0, [3]float64{at + 15, 0, 1}, [3]float64{at + 26, 1, 2*s.of - 1}))
		st.expect(job, 1, at, at+14)
		job = fmt.Sprintf("no call since, cause %d", i)
		st.add(share(tap(job), kind, at, 3, 0))
		st.expect(job, 1, at, 1000)
		job = fmt.Sprintf("ends, then no call, cause %d", i)
		st.add(share(tap(job), kind, at, 3, 0, [3]float64{at + 15, 0, 1}))
		st.expect(job, 1, at, at+14)
	}
	return st.at(s.record(), s.record(), at, at+14, at+15, at+23, at+26, at+29, at+30, at+31, at+45)
}

// others is about other services, which are in another state.
func (s state) others() test {
	st := story{test: test{name: s.record() + ", beside others"}}
	kind := s.failing[0]
	names := []string{"cluster", "namespace", "job", "service"}
	// Half of the threshold, beside others that are on.
	st.add(share(tap("half"), kind, at+2, 1, 2*s.of-1))
	for _, twin := range tap("half").with("service", "monitor").twins(names...) {
		st.add(share(twin, kind.with("service", twin["service"]), at, 3, 0, [3]float64{at + 15, 3, 0}))
		st.expected = append(st.expected, expectation{twin.only("cluster", "namespace", "job", "service"), 1, at, 1000})
	}
	// On and without a call, beside others that call.
	st.add(share(tap("no call"), kind, at, 3, 0))
	st.expect("no call", 1, at, 1000)
	for _, twin := range tap("no call").with("service", "monitor").twins(names...) {
		st.series = append(st.series, series{attempts, twin.with("category", "none", "blame", "none"), steps(10)})
	}
	return st.at(s.record(), s.record(), at+2, at+3, at+17)
}

// heldStates returns the tests of how long states last without calls.
func heldStates() file {
	f := file{about: "How long the states of a service last without calls.", every: 5}
	for _, s := range states {
		st := story{test: test{name: s.record() + ", without calls"}}
		kind := s.failing[0]
		names := []string{"cluster", "namespace", "job", "service"}
		st.add(share(tap("no call"), kind, at, 3, 0))
		st.expect("no call", 1, at, at+10+s.hold-5)
		st.add(row(tap("in a row"), s.row[0], 3, 0))
		st.expect("in a row", 1, at, at+s.hold-5)
		for _, twin := range tap("no call").with("service", "monitor").twins(names...) {
			st.series = append(st.series, series{attempts, twin.with("category", "none", "blame", "none"), steps(10)})
		}
		recent := steps(float64(at+s.hold) * 60)
		for _, twin := range tap("in a row").with("service", "monitor").twins(append(names, "instance")...) {
			st.add([]series{{"ksyun_api_last_error_timestamp_seconds", twin.with("category", s.row[0]), recent}})
		}
		st.add([]series{{"ksyun_api_last_error_timestamp_seconds", tap("in a row").with("service", "monitor", "category", s.other["category"]), recent}})
		f.tests = append(f.tests, st.at(s.record(), s.record(), at+s.hold-5, at+s.hold, at+s.hold+5, at+s.hold+15))
	}
	return f
}
