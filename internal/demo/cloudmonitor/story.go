package cloudmonitor

import (
	"context"
	"net/http"
	"time"
)

// Phase is a part of a Story: a time in which calls fail for one reason.
type Phase struct {
	Name string // what happens
	Look string // what to look at
	// Every is the interval of failing calls: 1 if all calls fail, 0 if none does.
	Every int
	// Short is a phase of a fifth of the length of the others.
	Short bool

	fail  func(i int, c CallSpec) CallSpec // makes a call that succeeds fail; i counts the failing calls
	begin func(*Server)                    // may be nil, as may be end
	end   func(*Server)
}

// Story is a program whose calls fail for one reason after another.
type Story struct {
	Traffic *Traffic
	Server  *Server
	// Length is the length of a phase.
	Length time.Duration
	// OnPhase is called when a phase begins. It may be nil.
	OnPhase func(Phase)
}

// Play makes one call after each pace until ctx is done. After the last phase, the
// first begins again.
func (s *Story) Play(ctx context.Context, pace time.Duration) {
	phases := s.Phases()
	for i := 0; ctx.Err() == nil; i++ {
		s.play(ctx, phases[i%len(phases)], pace)
	}
}

func (s *Story) play(ctx context.Context, p Phase, pace time.Duration) {
	length := s.Length
	if p.Short {
		length /= 5
	}
	ctx, cancel := context.WithTimeout(ctx, length)
	defer cancel()
	if s.OnPhase != nil {
		s.OnPhase(p)
	}
	if p.begin != nil {
		p.begin(s.Server)
	}
	if p.end != nil {
		defer p.end(s.Server)
	}
	tick := time.NewTicker(pace)
	defer tick.Stop()
	for i := 0; ; i++ {
		call := s.Traffic.good()
		if p.Every > 0 && i%p.Every == 0 {
			call = p.fail(i/p.Every, call)
		}
		// A call that was begun is not canceled by the end of the phase.
		s.Traffic.Send(context.WithoutCancel(ctx), call)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Phases returns the phases in their order.
func (s *Story) Phases() []Phase {
	good := s.Traffic.Good
	outage := []Directive{
		{Error: "ServiceUnavailable", Status: http.StatusServiceUnavailable},
		{Error: "ServiceUnavailable", Status: http.StatusBadGateway, Shape: "html"},
		{Error: "ServiceTimeout", Status: http.StatusGatewayTimeout, Shape: "html"},
		{Fault: "reset"},
	}
	return []Phase{
		{Name: "healthy", Look: "the share of failed calls is 0", Short: true},
		{
			Name: "key rotated: the program still uses the old one", Look: "category auth, blame credential, and the notice on the key that stopped working", Every: 1,
			fail:  func(_ int, c CallSpec) CallSpec { return c },
			begin: func(api *Server) { api.Revoke(good.AccessKey) },
			end:   func(api *Server) { api.SetCredential(good) },
		},
		{
			Name: "throttled: the program calls too fast", Look: "LimitExceeded with status 409, and when to try again", Every: 2,
			fail: func(_ int, c CallSpec) CallSpec { c.Do = Directive{Error: "LimitExceeded"}; return c },
		},
		{
			Name: "outage of the provider", Look: "categories server, timeout and network; tickets for the provider", Every: 2,
			fail: func(i int, c CallSpec) CallSpec { c.Do = outage[i%len(outage)]; return c },
		},
		{
			Name: "batches answered in part", Look: "status 200 with outcome partial, and the items without data", Every: 2,
			fail: func(int, CallSpec) CallSpec {
				return CallSpec{
					Method: http.MethodPost, Action: "GetMetricStatisticsBatch", Version: "2018-11-14", As: good, Body: batch(5), Do: Directive{Partial: 2},
				}
			},
		},
		{
			Name: "clock of the program an hour off", Look: "category clock, and the offset in the evidence", Every: 1,
			fail: func(_ int, c CallSpec) CallSpec { c.Skew = -time.Hour; return c },
		},
		{Name: "healthy again", Look: "the groups of failures do not grow"},
	}
}
