package metrics

// Loss is a number of things of a kind that were lost, or left out on purpose.
type Loss struct {
	Kind  string // a sink other than the journal, or failures, sampled, unread, unobserved or panics
	Count uint64
}

// Losses returns what was lost because a queue or a limit was exceeded, in a fixed order.
func (m *Metrics) Losses() (all []Loss) {
	kinds := []string{"metrics", "traces", "logs", "sampled", "diagnosis", "failures", "evidence", "unread", "unobserved", "panics"}
	sums := map[string]float64{}
	families, _ := m.Gatherer().Gather() // those without errors are returned
	for _, f := range families {
		for _, x := range f.GetMetric() {
			switch f.GetName() {
			case Dropped.Name:
				labels := map[string]string{}
				for _, l := range x.GetLabel() {
					labels[l.GetName()] = l.GetValue()
				}
				kind := labels["sink"]
				switch {
				case labels["reason"] == string(ReasonSampled):
					kind = "sampled" // on purpose
				case kind == string(SinkJournal):
					kind = "failures" // the journal itself has another limit
				}
				sums[kind] += x.GetCounter().GetValue()
			case Unread.Name:
				sums["unread"] += x.GetCounter().GetValue()
			case Unobserved.Name:
				sums["unobserved"] += x.GetCounter().GetValue()
			case Panics.Name:
				sums["panics"] += x.GetCounter().GetValue()
			}
		}
	}
	for _, k := range kinds {
		all = append(all, Loss{Kind: k, Count: uint64(sums[k])})
	}
	return all
}
