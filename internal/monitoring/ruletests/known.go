package ruletests

import "fmt"

// long is the start of a process, in seconds, before all that is tested.
const long = -1e6

// running is a tap that is scraped from one minute to another, and started at a
// time in seconds.
func running(tap labels, from, to int, started float64) []series {
	scraped := func(v float64) func(int) float64 {
		return steps(none, float64(from), v, float64(to), stale, float64(to+1), none)
	}
	return []series{
		{"ksyun_tap_build_info", tap.with("version", "v"), scraped(1)},
		{"process_start_time_seconds", tap, scraped(started)},
	}
}

// forever is a minute after the end of every test.
const forever = 1 << 20

// known returns the tests of the rules on taps whose new series count: those
// scraped before the window, or started within it.
func known() file {
	f := file{about: "Which taps are known to have begun a new series within a window.", every: 1}
	for _, w := range []int{5, 15, 30} {
		record := fmt.Sprintf("instance:ksyun_tap:known%dm", w)
		n := w + 3 // when new taps are first scraped
		minute := func(m float64) float64 { return (float64(n) + m) * 60 }
		st := story{test: test{name: record}}
		expect := func(job string, from, to int) {
			st.expected = append(st.expected, expectation{tap(job), 1, from, to})
		}
		st.add(running(tap("old"), 0, forever, long), running(tap("new"), n, forever, minute(-2.5)),
			running(tap("new, late"), n, forever, minute(-3)), running(tap("gone"), n, n+2, minute(-1)))
		for _, twin := range tap("new").twins("cluster", "namespace", "job", "instance") {
			st.series = append(st.series, running(twin, n, forever, minute(-1))[1]) // of another program
		}
		expect("old", w, forever)
		expect("new", n, forever)
		expect("new, late", n, n+w-2)
		expect("new, late", n+w, forever)
		expect("gone", n, n+w+1)
		f.tests = append(f.tests, st.at(record, record, w-1, w, n, n+w-2, n+w-1, n+w, n+w+1, n+w+2))
	}
	return f
}

// taps returns the tests of the rule that remembers which targets are taps.
func taps() file {
	f := file{about: "Which targets are remembered as taps.", every: 1}
	const record = "instance:ksyun_tap:known"
	t := test{name: record}
	up := func(of labels, value func(int) float64) { t.series = append(t.series, series{"up", of, value}) }
	build := func(of labels) {
		t.series = append(t.series, series{"ksyun_tap_build_info", of.with("version", "v"), steps(1, 10, stale, 11, none)})
	}
	build(tap("down"))
	up(tap("down"), steps(1, 10, 0))
	build(tap("gone"))
	up(tap("gone"), steps(1, 10, stale, 11, none))
	for _, twin := range tap("gone").twins("cluster", "namespace", "job", "instance") {
		up(twin, steps(1)) // of another program
	}
	t.checks = []check{
		{record, 9, []sample{{record, tap("down"), 1}, {record, tap("gone"), 1}}},
		{record, 12, []sample{{record, tap("down"), 1}}},
		{record, 100, []sample{{record, tap("down"), 1}}},
	}
	f.tests = append(f.tests, t)
	return f
}

// rarely returns the test of how long taps are remembered if Prometheus does not
// evaluate the rule for some time.
func rarely(minutes int, remembered bool) file {
	const record = "instance:ksyun_tap:known"
	f := file{about: fmt.Sprintf("Whether a tap that is down is remembered without an evaluation for %d minutes.", minutes), every: 5, evaluated: minutes}
	t := test{name: record, series: []series{
		{"ksyun_tap_build_info", tap("down").with("version", "v"), steps(1, 10, stale, 15, none)},
		{"up", tap("down"), steps(1, 10, 0)},
	}}
	c := check{expr: record, minute: minutes}
	if remembered {
		c.samples = []sample{{record, tap("down"), 1}}
	}
	t.checks = []check{c}
	f.tests = []test{t}
	return f
}
