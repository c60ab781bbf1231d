package diagnosis

import (
	"net/netip"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/assert"

	"github.com/ksyun-tap/ksyun-tap/classify"
)

var program = netip.MustParseAddr("192.0.2.9")

// sampled returns clocks that have seen so many requests of one clock, a minute
// apart, and the time of the last.
func sampled(n int, off time.Duration, more ...func(*clockInput)) (*clocks, time.Time) {
	c, at := &clocks{newTable[clock](maxClocks)}, epoch
	for i := range n {
		at = epoch.Add(time.Duration(i) * time.Minute)
		in := clockInput{client: program, signed: at.Add(off).Truncate(time.Second), date: at.Truncate(time.Second), roundTrip: 40 * time.Millisecond}
		for _, f := range more {
			f(&in)
		}
		c.observe(in, at)
	}
	return c, at
}

func TestClockInput(t *testing.T) {
	good := func() *classify.Observation {
		o := &classify.Observation{
			Call:  classify.Call{SignedAt: epoch, Signing: classify.SigningSigV4},
			Start: epoch, FirstByte: epoch.Add(time.Second), End: epoch.Add(2 * time.Second),
			Date:   epoch.Add(time.Second),
			Client: netip.MustParseAddrPort("[::ffff:192.0.2.9]:1"),
		}
		o.Verdict.RequestID = classify.MakeRequestID("00000000-0000-4000-8000-000000000001")
		return o
	}
	in, ok := clockInputOf(good())
	if want := (clockInput{client: program, signed: epoch, date: epoch.Add(time.Second), roundTrip: time.Second}); !ok || in != want {
		t.Errorf("got %+v, %v, want %+v", in, ok, want)
	}
	f := func(name string, change func(o *classify.Observation)) {
		t.Helper()
		o := good()
		change(o)
		if in, ok := clockInputOf(o); ok {
			t.Errorf("%s: measured %+v", name, in)
		}
	}
	f("not signed", func(o *classify.Observation) { o.Call.SignedAt = time.Time{} })
	f("no date, or a cached one", func(o *classify.Observation) { o.Date = time.Time{} })
	f("no response", func(o *classify.Observation) { o.FirstByte = time.Time{} })
	f("answered by a proxy", func(o *classify.Observation) { o.Verdict.RequestID = classify.RequestID{} })

	o := good()
	o.Source = classify.SourceResign
	if in, ok := clockInputOf(o); !ok || in.client.IsValid() {
		t.Errorf("what the tap signs is measured as a clock of %v", in.client)
	}
}

func TestSkew(t *testing.T) {
	f := func(name string, signed, date, roundTrip, want, uncertainty time.Duration) {
		t.Helper()
		in := clockInput{signed: epoch.Add(signed), date: epoch.Add(date), roundTrip: roundTrip}
		got := in.skew()
		assert.Equal(t, Skew{want, uncertainty}, got, "%s: got %v, want %v ± %v", name, got, want, uncertainty)
	}
	f("right", 0, 0, 0, 0, time.Second)
	f("a slow response of a right clock", 0, 4*time.Second, 8*time.Second, 0, 5*time.Second)
	f("ahead", time.Minute, 0, 2*time.Second, 61*time.Second, 2*time.Second)
	f("behind", -time.Minute, 0, 2*time.Second, -59*time.Second, 2*time.Second)
}

func TestClocks(t *testing.T) {
	f := func(name string, n int, off, want time.Duration, known bool, more ...func(*clockInput)) {
		t.Helper()
		c, last := sampled(n, off, more...)
		got, ok := c.usual(program, last)
		if ok != known || (got.Offset-want).Abs() > time.Second {
			t.Errorf("%s: %v, %v, want %v, %v", name, got.Offset, ok, want, known)
		}
		listed := len(c.list(last)) == 1
		assert.Equal(t, known, listed, "%s: listed", name)
	}
	f("too few", 2, time.Minute, 0, false)
	f("ahead", 3, 6*time.Minute, 6*time.Minute, true)
	f("behind", 20, -6*time.Minute, -6*time.Minute, true)
	f("presigned", 20, -time.Hour, 0, false, func(in *clockInput) { in.presigned = true })
	f("very slow responses", 20, 0, 0, false, func(in *clockInput) { in.roundTrip = time.Minute })
	f("one request sent again and again", 20, 0, 0, false, func(in *clockInput) { in.signed = epoch })
	n := 0
	f("a saved request sent in between", 9, 0, 0, true, func(in *clockInput) {
		if n++; n%3 == 0 {
			in.signed = epoch.Add(-time.Hour)
		}
	})
	step := 0
	f("a clock that is set", 20, -time.Hour, 0, true, func(in *clockInput) {
		if step++; step > 12 {
			in.signed = in.signed.Add(time.Hour)
		}
	})

	c, last := sampled(5, time.Minute)
	_, ok := c.usual(program, last.Add(16*time.Minute))
	assert.False(t, ok, "a clock not heard of for long is still known")
	if _, ok := c.usual(netip.MustParseAddr("192.0.2.10"), last); ok {
		t.Error("the clock of another is known")
	}
}

func TestOneSampleASecond(t *testing.T) {
	d, o := New(), success()
	for i := range 100 {
		o.End = epoch.Add(time.Duration(i) * 10 * time.Millisecond)
		o.Call.SignedAt = epoch.Add(time.Duration(i) * time.Second)
		d.Observe(o)
	}
	k := &d.clocks.find(hashAddr(program)).value
	assert.Equal(t, 1, k.next, "samples within a second")
	// The tap's own clock goes back an hour.
	o.End, o.Call.SignedAt = epoch.Add(-time.Hour), epoch.Add(time.Hour)
	d.Observe(o)
	assert.Equal(t, 2, k.next, "no sample after the clock was set back")
}

func TestClocksFurthestOffFirst(t *testing.T) {
	c := &clocks{newTable[clock](maxClocks)}
	for client := range 40 {
		for i := range 3 {
			at := epoch.Add(time.Duration(i) * time.Minute)
			c.observe(clockInput{
				client: netip.AddrFrom4([4]byte{192, 0, 2, byte(client)}),
				signed: at.Add(time.Duration(client) * time.Second), date: at,
			}, at)
		}
	}
	all := c.list(epoch.Add(2 * time.Minute))
	if len(all) != maxListed || all[0].Skew.Offset != 39*time.Second || all[maxListed-1].Skew.Offset != 24*time.Second {
		t.Errorf("listed %v", all)
	}
}

func TestJudgeClock(t *testing.T) {
	right, wrongHour := Skew{time.Second, time.Second}, Skew{-time.Hour, time.Second}
	almost, tenBehind := Skew{-14*time.Minute - 30*time.Second, time.Second}, Skew{-10 * time.Minute, time.Second}
	f := func(name string, category classify.Category, off time.Duration, usual *Skew, presigned bool, expires time.Duration, want Cause, sure Certainty) {
		t.Helper()
		in := clockInput{client: program, signed: epoch.Add(off), date: epoch, roundTrip: 20 * time.Millisecond, presigned: presigned, expires: expires}
		var u Skew
		if usual != nil {
			u = *usual
		}
		got := judgeClock(in, u, usual != nil, category)
		if got.cause != want || want != "" && got.sure != sure {
			t.Errorf("%s: %s, %s, want %s, %s", name, got.cause, got.sure, want, sure)
		}
	}
	const auth, clock = classify.CategoryAuth, classify.CategoryClock
	f("behind, and said to be", clock, -47*time.Minute, nil, false, 0, CauseClockSkew, Certain)
	f("behind, not said to be", auth, -47*time.Minute, nil, false, 0, CauseClockSkew, Likely)
	f("ahead", clock, 20*time.Minute, nil, false, 0, CauseClockSkew, Certain)
	f("at the edge, and said to be", clock, -15*time.Minute+500*time.Millisecond, nil, false, 0, CauseClockSkew, Certain)
	f("at the edge, not said to be", auth, -15*time.Minute+500*time.Millisecond, nil, false, 0, "", "")
	f("right", auth, 0, nil, false, 0, CauseClockRight, Excluded)
	f("right, though said not to be", clock, 0, nil, false, 0, CauseClockRight, Excluded)
	f("8 hours ahead", clock, 8*time.Hour, nil, false, 0, CauseClockZone, Certain)
	f("5½ hours behind", clock, -5*time.Hour-30*time.Minute+20*time.Second, nil, false, 0, CauseClockZone, Certain)
	f("8 hours and 7 minutes", clock, 8*time.Hour+7*time.Minute, nil, false, 0, CauseClockSkew, Certain)
	f("a day", clock, -24*time.Hour, nil, false, 0, CauseClockSkew, Certain)
	f("behind, as all requests", clock, -time.Hour, &wrongHour, false, 0, CauseClockZone, Certain)
	f("behind, as no other request", clock, -47*time.Minute, &right, false, 0, CauseSignatureStale, Certain)
	f("a clock that is going beyond the limit", clock, -15*time.Minute-10*time.Second, &almost, false, 0, CauseClockSkew, Certain)
	f("a clock ten minutes behind, and a request six minutes old", clock, -16*time.Minute, &tenBehind, false, 0, CauseSignatureStale, Certain)
	f("ahead, as no other request", clock, 47*time.Minute, &right, false, 0, CauseClockSkew, Certain)
	f("presigned long ago", clock, -47*time.Minute, nil, true, 0, CauseSignatureStale, Certain)
	f("presigned for a minute, two ago", clock, -2*time.Minute, nil, true, time.Minute, CauseSignatureStale, Certain)
	f("presigned for an hour, two minutes ago", clock, -2*time.Minute, nil, true, time.Hour, CauseClockRight, Excluded)
}

// TestClocksAreBounded feeds the calls of 100,000 programs.
func TestClocksAreBounded(t *testing.T) {
	c := &clocks{newTable[clock](maxClocks)}
	for a := range 100 {
		for b := range 1000 {
			at := epoch.Add(time.Duration(a) * time.Second)
			client := netip.AddrFrom4([4]byte{byte(a >> 8), byte(a), byte(b >> 8), byte(b)})
			c.observe(clockInput{client: client, signed: at, date: at}, at)
		}
	}
	if size := maxClocks * (unsafe.Sizeof(c.slots[0]) + unsafe.Sizeof(row[clock]{})); size > 96<<10 {
		t.Errorf("%d bytes, documented are less than 96 KiB", size)
	}
	n := 0
	for i := range c.slots {
		if c.slots[i].Load() != nil {
			n++
		}
	}
	assert.LessOrEqual(t, n, maxClocks, "clocks")
	assert.GreaterOrEqual(t, n, maxClocks/2, "clocks")
	assert.LessOrEqual(t, len(c.list(epoch.Add(100*time.Second))), maxListed, "clocks are listed")
}
