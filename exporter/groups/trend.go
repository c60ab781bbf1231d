package groups

import "time"

// trend is a ring of counts per minute.
type trend struct {
	newest int64 // minute since 1970; 0 if there are no counts
	counts [TrendMinutes]uint32
}

func minuteOf(t time.Time) int64 { return t.Unix() / 60 }

func (t *trend) slot(minute int64) *uint32 {
	return &t.counts[(minute%TrendMinutes+TrendMinutes)%TrendMinutes]
}

// add adds n to a minute. It does nothing if the minute is over an hour before the
// newest one.
func (t *trend) add(minute int64, n uint32) {
	if minute <= t.newest-TrendMinutes || n == 0 {
		return
	}
	if minute-t.newest >= TrendMinutes {
		t.counts = [TrendMinutes]uint32{}
		t.newest = minute
	}
	for t.newest < minute {
		t.newest++
		*t.slot(t.newest) = 0
	}
	*t.slot(minute) += n
}

// at returns the count of a minute.
func (t *trend) at(minute int64) uint32 {
	if minute > t.newest || minute <= t.newest-TrendMinutes {
		return 0
	}
	return *t.slot(minute)
}

// view returns the trend until now.
func (t *trend) view(now time.Time) Trend {
	last := minuteOf(now)
	v := Trend{Start: time.Unix((last-TrendMinutes+1)*60, 0).UTC(), Counts: make([]uint32, TrendMinutes)}
	for i := range v.Counts {
		v.Counts[i] = t.at(last - TrendMinutes + 1 + int64(i))
	}
	return v
}
