package diagnosis

import (
	"cmp"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/ksyun-tap/ksyun-tap/classify"
)

const (
	// maxSkew is the maximum skew that the API accepts, as documented in row 8 of
	// the vendor's table of error codes.
	maxSkew = 15 * time.Minute
	// clockTruncated is the uncertainty from truncating both times to whole seconds.
	clockTruncated = time.Second
)

// clockInput is the input for comparing a program's clock with the API's.
type clockInput struct {
	client    netip.Addr    // address of the program; the zero Addr for the tap or the program that embeds it
	signed    time.Time     // time of signing by the program's clock, in whole seconds
	date      time.Time     // time of the response by the API's clock, in whole seconds
	roundTrip time.Duration // from the first byte of the request to the first byte of the response
	presigned bool          // presigned requests may have been signed long before
	expires   time.Duration // validity of a presigned request; 0 if not given
}

// clockInputOf returns the input for an attempt that was signed and was answered
// by the API itself. A response from a proxy or a cache has no request ID or no
// time of its own, and is not used.
func clockInputOf(o *classify.Observation) (clockInput, bool) {
	if o.Date.IsZero() || o.Call.SignedAt.IsZero() || o.FirstByte.IsZero() || o.Verdict.RequestID.IsZero() {
		return clockInput{}, false
	}
	in := clockInput{
		signed:    o.Call.SignedAt,
		date:      o.Date,
		roundTrip: max(0, o.FirstByte.Sub(o.Start)),
		presigned: o.Call.Signing == classify.SigningPresigned,
	}
	in.client = clockOf(o)
	return in, true
}

// clockOf returns the address that identifies the clock an attempt was signed with.
func clockOf(o *classify.Observation) netip.Addr {
	if o.Source == classify.SourceResign { // the tap signed the request
		return netip.Addr{}
	}
	return o.Client.Addr().Unmap()
}

// Skew is how far a clock is ahead of the API's clock, or behind it if negative.
type Skew struct {
	Offset      time.Duration
	Uncertainty time.Duration
}

// within reports whether the skew is certainly less than limit.
func (s Skew) within(limit time.Duration) bool { return s.Offset.Abs()+s.Uncertainty < limit }

// beyond reports whether the skew is certainly at least limit.
func (s Skew) beyond(limit time.Duration) bool { return s.Offset.Abs()-s.Uncertainty >= limit }

// skew returns the skew measured by one request. The Date of the API is assumed to
// be from the middle of the round trip. Both times are truncated to whole seconds.
func (in *clockInput) skew() Skew {
	half := in.roundTrip / 2
	return Skew{in.signed.Sub(in.date) + half, clockTruncated + half}
}

const (
	maxClocks    = 256              // maximum number of clocks remembered
	clockSamples = 9                // number of samples kept; the skew is their median
	clockMinimum = 3                // minimum number of samples for a skew
	clockMemory  = tableMemory      // how long a sample is used
	maxRoundTrip = 10 * time.Second // maximum round trip of a sample
	maxListed    = 16
	// minStaleness is the minimum time by which a request was signed earlier than the
	// other requests of the program if it is stale. With a smaller difference, the
	// clock has just gone beyond the limit.
	minStaleness = 2 * time.Minute
)

// clocks remembers the clocks of programs by the address that they call from.
type clocks struct{ table[clock] }

// clock holds the samples of one clock.
type clock struct {
	client netip.Addr

	mu      sync.Mutex // guards the fields below
	samples [clockSamples]clockSample
	next    int // index of the next sample
}

// clockSample is one measurement. It is empty if its time is zero.
type clockSample struct {
	at, signed int64 // in nanoseconds since the epoch
	skew       Skew
}

// observe takes a sample if there is none of this second.
func (c *clocks) observe(in clockInput, at time.Time) {
	if in.presigned || in.roundTrip > maxRoundTrip {
		return
	}
	second, key := at.Unix(), hashAddr(in.client)
	e := c.find(key)
	isNew := false
	if e == nil || e.used.Load() == ended {
		if e, isNew = c.add(key, second, func(k *clock) { k.client = in.client }, nil); e == nil {
			return
		}
	}
	if !isNew && e.used.Load() == second {
		return
	}
	k := &e.value
	if !k.mu.TryLock() {
		return
	}
	defer k.mu.Unlock()
	signed := in.signed.UnixNano()
	last := &k.samples[(k.next+clockSamples-1)%clockSamples]
	if last.at != 0 && last.signed == signed {
		return // the same signature again gives no new information about the clock
	}
	k.samples[k.next] = clockSample{at.UnixNano(), signed, in.skew()}
	k.next = (k.next + 1) % clockSamples
	e.used.renew(second)
}

// Clock is the clock that a program signs with, compared with the API's clock.
type Clock struct {
	// Client is the address that the program calls from. The zero Addr is the
	// clock of the tap, or of the program that embeds it.
	Client netip.Addr
	Skew   Skew // the median over the last requests
}

// usual returns the skew of a client's clock. It returns false if there are too
// few samples.
func (c *clocks) usual(client netip.Addr, now time.Time) (Skew, bool) {
	if e := c.find(hashAddr(client)); e != nil {
		return e.value.median(now)
	}
	return Skew{}, false
}

// median returns the median of the samples that are recent enough.
func (k *clock) median(now time.Time) (Skew, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	var buf [clockSamples]Skew
	fresh := buf[:0]
	for _, s := range k.samples {
		if s.at != 0 && now.UnixNano()-s.at <= int64(clockMemory) {
			fresh = append(fresh, s.skew)
		}
	}
	if len(fresh) < clockMinimum {
		return Skew{}, false
	}
	slices.SortFunc(fresh, func(a, b Skew) int { return cmp.Compare(a.Offset, b.Offset) })
	return fresh[len(fresh)/2], true
}

// list returns up to maxListed clocks, largest absolute skew first.
func (c *clocks) list(now time.Time) []Clock {
	var all []Clock
	for e := range c.all {
		if s, ok := e.value.median(now); ok {
			all = append(all, Clock{e.value.client, s})
		}
	}
	slices.SortFunc(all, func(a, b Clock) int {
		return cmp.Or(cmp.Compare(b.Skew.Offset.Abs(), a.Skew.Offset.Abs()), a.Client.Compare(b.Client))
	})
	return all[:min(len(all), maxListed)]
}

// clockFinding is the result of judgeClock.
type clockFinding struct {
	cause Cause // "" if the clock cannot be judged
	sure  Certainty
	facts []Fact
}

// judgeClock determines whether a request was refused because of the time it was
// signed at. usual is the skew of the client's other requests, if known.
func judgeClock(in clockInput, usual Skew, known bool, category classify.Category) clockFinding {
	s := in.skew()
	f := clockFinding{sure: Likely, facts: []Fact{
		{Name: "signed", Value: in.signed.UTC().Format(time.RFC3339)},
		{Name: "date", Value: in.date.UTC().Format(time.RFC3339)},
		{Name: "skew", Value: spell(s.Offset)},
		{Name: "uncertainty", Value: s.Uncertainty.Round(100 * time.Millisecond).String()},
		{Name: "usual", Value: "-"},
	}}
	if known {
		f.facts[4].Value = spell(usual.Offset)
	}
	expired := in.expires > 0 && s.Offset+s.Uncertainty < -in.expires
	switch blamed := category == classify.CategoryClock; {
	case s.beyond(maxSkew), blamed && !s.within(maxSkew), blamed && expired:
		if blamed {
			f.sure = Certain
		}
	case s.within(maxSkew):
		f.cause, f.sure = CauseClockRight, Excluded
		return f
	default:
		return clockFinding{} // too close to the limit to tell
	}
	switch {
	case expired, s.Offset < 0 && (in.presigned || known && usual.within(maxSkew) && usual.Offset-s.Offset >= minStaleness):
		f.cause = CauseSignatureStale
	case s.ofZones():
		f.cause = CauseClockZone
	default:
		f.cause = CauseClockSkew
	}
	return f
}

// ofZones reports whether the skew can be the difference between UTC and a time
// zone: a multiple of half an hour, at most 14 hours.
func (s Skew) ofZones() bool {
	const (
		step  = 30 * time.Minute
		slack = time.Minute
	)
	rest := s.Offset - s.Offset.Round(step)
	return s.Offset.Round(step) != 0 && s.Offset.Abs() <= 14*time.Hour+slack && rest.Abs() <= slack+s.Uncertainty
}

// spell formats a duration with its sign.
func spell(d time.Duration) string {
	if d.Abs() > time.Minute {
		d = d.Round(time.Second)
	} else {
		d = d.Round(100 * time.Millisecond)
	}
	if d > 0 {
		return "+" + d.String()
	}
	return d.String()
}
