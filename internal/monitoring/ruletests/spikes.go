package ruletests

// spikes is the record of categories that are far above the days before.
const spikes = "category:ksyun_api_attempts:spike"

// burst is 15 minutes from a minute on in which calls fail.
type burst struct{ at, failures float64 }

// calling is a tap that makes so many successful calls in 15 minutes, from a minute
// on, and some that fail.
func calling(tap, kind labels, from, succeeding float64, bursts ...burst) []series {
	failed := []float64{}
	for i, b := range bursts {
		failed = append(failed, b.at, b.failures)
		if rest := bursts[i+1:]; len(rest) == 0 || rest[0].at > b.at+15 {
			failed = append(failed, b.at+15, stale, b.at+20, none)
		}
	}
	return []series{counted(tap, kind, steps(none, failed...)), counted(tap, success, steps(none, from, succeeding))}
}

// spiking returns the tests of spikes, with history of a day or of a week before
// the minute 10 of a last hour.
func spiking() file {
	f := file{about: "Which categories are far above the same hour of a day and of a week before.", every: 5}
	names := []string{"cluster", "namespace", "job", "service"}
	for _, h := range []struct {
		name string
		ago  float64 // minutes
	}{{"a day", 1440}, {"a week", 10080}} {
		st := story{test: test{name: spikes + ", " + h.name + " before"}}
		at := h.ago + 100
		fires := func(job string, kind labels, minutes float64) {
			st.expected = append(st.expected, expectation{service(job).with("category", kind["category"]), 0.02, int(at), int(at + minutes)})
		}
		// add is a tap with failures now, of 500 calls, and some at another time of
		// the other day.
		add := func(job string, failures float64, before burst) {
			bursts := []burst{{at - h.ago + before.at, before.failures}, {at, failures}}
			st.add(calling(tap(job), auth, 0, 500-failures, bursts...))
		}
		st.add(calling(tap("none before"), auth, 0, 480, burst{at, 10}))
		fires("none before", auth, 10)
		for _, twin := range tap("none before").with("service", "monitor").twins(names...) {
			kind := auth.with("service", twin["service"])
			st.add(calling(twin, kind, 0, 490, burst{at - h.ago, 10}, burst{at, 10})[:2])
		}
		st.add(calling(tap("none before"), limited, 0, 0, burst{at - h.ago, 10}, burst{at, 10})[:1])
		add("a third of it before", 12, burst{0, 4})
		add("less than a third before", 10, burst{0, 3})
		fires("less than a third before", auth, 10)
		add("an hour before", 10, burst{-25, 10})
		add("two hours before", 10, burst{-60, 10})
		fires("two hours before", auth, 10)
		add("an hour after", 10, burst{45, 10})
		fires("an hour after", auth, 10)
		if h.ago == 1440 {
			st.add(calling(tap("few"), auth, 0, 491, burst{at, 9}), calling(tap("a hundredth"), auth, 0, 990, burst{at, 10}),
				calling(tap("other causes"), wrong, 0, 490, burst{at, 100}), calling(tap("throttled"), limited, 0, 490, burst{at, 10}))
			fires("throttled", limited, 10)
			// A spike ends with its failures.
			st.add(calling(tap("then few"), auth, 0, 490, burst{at, 10}, burst{at + 5, 9}))
			fires("then few", auth, 0)
			st.add([]series{
				calling(tap("then a hundredth"), auth, 0, 490, burst{at, 10})[0],
				counted(tap("then a hundredth"), success, steps(none, 0, 490, at+5, 990)),
			})
			fires("then a hundredth", auth, 0)
			// Taps without the history of a day, beside others with it.
			st.add(calling(tap("new"), auth, at-800, 490, burst{at, 10}))
			for _, twin := range tap("new").with("service", "monitor").twins(names...) {
				st.series = append(st.series, series{attempts, twin.with("category", "none", "blame", "none"), steps(10)})
			}
			// A spike that lasts until the hour with which it is compared has the same.
			st.add(calling(tap("lasts"), auth, 0, 490, burst{at - h.ago + 50, 10}, burst{at, 10}, burst{at + 15, 10}))
			fires("lasts", auth, 25)
			st.add(calling(tap("again"), auth, 0, 490, burst{at - h.ago + 55, 10}, burst{at, 10}, burst{at + 25, 10}))
			fires("again", auth, 10)
		}
		minute := int(at)
		t := st.at(spikes, spikes, minute-5, minute, minute+5, minute+10, minute+15, minute+20, minute+25, minute+30)
		if h.ago == 1440 { // the states that spikes begin
			for _, s := range states[:2] {
				begins := story{test: t}
				for _, e := range st.expected {
					if e.labels["category"] == s.failing[0]["category"] {
						begins.expected = append(begins.expected, expectation{e.labels.only("cluster", "namespace", "job", "service"), e.value, minute, minute})
					}
				}
				t = begins.at(s.record(), s.record(), minute)
			}
		}
		f.tests = append(f.tests, t)
	}
	return f
}
