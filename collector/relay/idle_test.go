package relay

import (
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestIdlePairsByAge has pairs go on and be idle again in every order, at once or later,
// and takes the one that has been idle for longest whenever there is any.
func TestIdlePairsByAge(t *testing.T) {
	g := rand.New(rand.NewPCG(1, 1))
	for range 200 {
		var l idlePairs
		since := make(map[*pair]int64) // of those that are idle
		pairs := make([]*pair, 1+g.IntN(20))
		for i := range pairs {
			pairs[i] = new(pair)
		}
		for now := int64(1); now < 200; now++ {
			p := pairs[g.IntN(len(pairs))]
			switch g.IntN(8) {
			case 0, 1, 2:
				l.note(p, time.Unix(0, now))
				since[p] = now
			case 3:
				since[p] = now + g.Int64N(20)
				l.noteLater(p, time.Unix(0, since[p]))
			case 4:
				l.busy(p)
				delete(since, p)
			case 5:
				l.remove(p)
				l.busy(p)
				delete(since, p)
			default:
				var want *pair
				for p, at := range since {
					if at <= now && (want == nil || at < since[want]) {
						want = p
					}
				}
				got := l.take(time.Unix(0, now))
				if since[got] != since[want] || (got == nil) != (want == nil) {
					t.Fatalf("took a pair that has been idle since %d, want since %d", since[got], since[want])
				}
				delete(since, got)
			}
		}
		for len(since) > 0 {
			delete(since, l.take(time.Unix(0, 1<<40)))
		}
		for _, p := range pairs {
			l.remove(p)
		}
		if p := l.take(time.Unix(0, 1<<40)); p != nil || len(l.queue) > 0 {
			t.Fatalf("%d pairs are left", len(l.queue))
		}
	}
}

// TestIdlePairsAreFound has a pair become idle while it is looked at: it is found
// once, then or later.
func TestIdlePairsAreFound(t *testing.T) {
	const rounds = 20_000
	var (
		l            idlePairs
		p, other     pair
		begun, ended atomic.Int64
		user         sync.WaitGroup
	)
	wait := func(a *atomic.Int64, n int64) {
		for a.Load() < n {
			runtime.Gosched()
		}
	}
	user.Go(func() {
		for n := int64(1); n <= rounds; n++ {
			wait(&begun, n)
			l.note(&p, time.Unix(0, n))
			ended.Store(n)
		}
	})
	defer user.Wait()
	defer begun.Store(rounds)
	for n := int64(1); n <= rounds; n++ {
		l.note(&p, time.Unix(0, n))
		l.busy(&p)
		begun.Store(n)
		for range n % 64 {
			l.busy(&other) // to be late by as much
		}
		found := l.take(time.Unix(0, 1<<40))
		wait(&ended, n)
		again := l.take(time.Unix(0, 1<<40))
		require.NotEqual(t, again == nil, found == nil, "round %d: found %p, then %p", n, found, again)
	}
}

// TestLongestIdleMakesRoom makes room by one connection after another.
func TestLongestIdleMakesRoom(t *testing.T) { eachWay(t, testLongestIdleMakesRoom) }

func testLongestIdleMakesRoom(t *testing.T, newRig maker) {
	r := newRig(t)
	var clients, ups [4]*peer
	for i := range clients {
		clients[i], ups[i] = r.begin(getRequest)
	}
	respond := func(i int) {
		ups[i].Send(okResponse)
		clients[i].Expect(okResponse)
		r.ends(EndComplete)
	}
	for n, i := range []int{2, 0, 3} { // and 1 is not idle
		respond(i)
		r.waits(n + 1)
	}
	clients[2].Send(getRequest) // it is the last now
	ups[2].Expect(getRequest)
	r.waits(2)
	respond(2)
	r.waits(3)
	for _, i := range []int{0, 3, 2} {
		require.True(t, r.srv.Reclaim(), "no connection makes room")
		clients[i].ExpectEnd()
		ups[i].ExpectEnd()
	}
	assert.False(t, r.srv.Reclaim(), "a connection makes room that is not idle")
	respond(1)
}

// BenchmarkReclaim finds the pair that has been idle for longest of many, of which
// some are used meanwhile.
func BenchmarkReclaim(b *testing.B) {
	for name, idle := range map[string]int{"1idle": 1, "allIdle": 32_000} {
		b.Run(name, func(b *testing.B) {
			var l idlePairs
			pairs := make([]pair, 32_000)
			for i := range pairs {
				if l.note(&pairs[i], time.Unix(0, int64(i+1))); i >= idle {
					l.busy(&pairs[i])
				}
			}
			now := int64(len(pairs))
			for b.Loop() {
				p := l.take(time.Unix(0, 1<<40))
				if p == nil {
					b.Fatal("none is idle")
				}
				now++
				l.note(p, time.Unix(0, now))
			}
		})
	}
}
