package ruletests

// availability returns the tests of the records of windows longer than those that
// are recorded from the taps' own series. Their source is given as recorded.
func availability() file {
	const evaluated = 2 * 43200
	f := file{about: "Availability over windows longer than half an hour.", every: 5, evaluated: evaluated}
	for _, w := range []struct {
		name    string
		minutes int
	}{{"1h", 60}, {"2h", 120}, {"6h", 360}, {"1d", 1440}, {"3d", 4320}, {"30d", 43200}} {
		t := test{name: "rate" + w.name}
		end := evaluated
		for _, of := range []string{"requests", "errors_provider"} {
			record := "service:ksyun_api_" + of + ":rate" + w.name
			c := check{expr: record, minute: end}
			expect := func(job string, value float64) {
				c.samples = append(c.samples, sample{record, service(job), value})
			}
			give := func(job, source string, value func(int) float64) {
				t.series = append(t.series, series{"service:ksyun_api_" + of + ":rate" + source, service(job), value})
			}
			half := float64(w.minutes) / 2
			if w.minutes == 60 {
				give("halves", "30m", steps(7, float64(end-59), 7, float64(end-35), 3, float64(end-25), 5))
				expect("halves", 4)
				give("new", "30m", steps(none, float64(end-25), 5))
				expect("new", 2.5)
			} else {
				// A mean of 1, from few records: half of it is in either half of the
				// window, and as much before it.
				begin, all := float64(end-w.minutes), float64(w.minutes)/5
				var changes []float64
				for _, from := range []float64{begin - 10, begin + 5, begin + half + 5} {
					changes = append(changes, from, all/4, from+10, stale, from+15, none)
				}
				give("halves", "5m", steps(none, changes...))
				expect("halves", 1)
			}
			t.checks = append(t.checks, c)
		}
		f.tests = append(f.tests, t)
	}
	return f
}

// ratios returns the tests of the ratios.
func ratios() file {
	f := file{about: "The ratios of failures, which have no value without calls.", every: 1}
	for _, w := range []string{"5m", "30m", "1h", "2h", "6h", "1d", "3d", "30d"} {
		ratio := "service:ksyun_api_errors_provider:ratio_rate" + w
		t := test{name: ratio}
		for job, requests := range map[string]float64{"half": 0.5, "no calls": 0} {
			of := service(job)
			t.series = append(t.series,
				series{"service:ksyun_api_requests:rate" + w, of, steps(requests)},
				series{"service:ksyun_api_errors_provider:rate" + w, of, steps(requests / 2)})
		}
		t.checks = []check{{ratio, 1, []sample{{ratio, service("half"), 0.5}}}}
		f.tests = append(f.tests, t)
	}
	return f
}

// burnRates returns the tests of the alerts on the error budget.
func burnRates() file {
	f := file{about: "At which ratios the error budget is being used up, in a long and in a short window.", every: 1}
	for _, b := range []struct {
		factor      float64
		long, short string
		seconds     float64 // of the long window
		severity    string
		wait        int
	}{
		{14.4, "1h", "5m", 3600, "critical", 2},
		{6, "6h", "30m", 21600, "critical", 15},
		{3, "1d", "2h", 86400, "warning", 60},
		{1, "3d", "6h", 259200, "warning", 180},
	} {
		const name = "KsyunApiErrorBudgetBurn"
		st := story{test: test{name: name + ", " + b.long}}
		budget := 0.001
		limit := b.factor * budget
		const over = 1.25
		end := b.wait + 10
		give := func(job string, long, short, failures float64) {
			of := service(job)
			for record, v := range map[string]float64{
				"service:ksyun_api_errors_provider:ratio_rate" + b.long:  long,
				"service:ksyun_api_errors_provider:ratio_rate" + b.short: short,
				"service:ksyun_api_errors_provider:rate" + b.long:        failures / b.seconds,
			} {
				st.series = append(st.series, series{record, of, steps(none, 5, v, float64(end), 0)})
			}
		}
		give("fires", limit*over, limit*over, 4.6)
		give("long at the limit", limit, limit*over, 100)
		give("short at the limit", limit*over, limit, 100)
		give("few failures", limit*over, limit*over, 4.5)
		fires := alert(name, service("fires").with("window", b.long), severe(b.severity, "provider"))
		st.expected = []expectation{{fires, 1, 5 + b.wait, end - 1}}
		f.tests = append(f.tests, st.at(firing(name), "ALERTS", 5+b.wait-1, 5+b.wait, end-1, end))
	}
	return f
}
