package otlp

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// size is an item that takes so many bytes.
type size int

// gate makes batches whose exports end when it is open.
type gate struct {
	entered, open chan struct{}
	batches       [][]size
}

func (g *gate) NewBatch() Batch[size] { return &sizes{gate: g} }

func (*gate) Shutdown(context.Context) error { return nil }

type sizes struct {
	*gate
	all []size
}

func (b *sizes) Add(n size) int {
	if n < 0 {
		panic("negative")
	}
	b.all = append(b.all, n)
	return int(n)
}

func (b *sizes) Export(context.Context) error {
	b.batches = append(b.batches, slices.Clone(b.all))
	b.entered <- struct{}{}
	<-b.open
	return nil
}

// TestQueueOfLargeItems checks how many items a queue and a batch may have by their number
// and by their size, which the last item may exceed.
func TestQueueOfLargeItems(t *testing.T) {
	const (
		kb      = 1 << 10
		longest = 20 * kb // that there are
		queue   = 256     // items, which may take 768 KiB
		batch   = 128     // items of a batch, which may take 384 KiB
	)
	tests := []struct {
		name        string
		queue, size int
		first       []size   // the first batch
		unimportant []size   // come while that is exported
		important   []size   // come after those
		dropped     int      // of all
		rest        [][]size // the other batches
	}{
		{"by number", 6, 2, []size{kb, kb}, []size{kb, kb}, []size{kb, kb, kb, kb}, 2, [][]size{{kb, kb}, {kb, kb}}},
		{"without a size", 4, 2, []size{0, 0}, nil, []size{0, 0, 0}, 1, [][]size{{0, 0}}},
		{"the longest in the smallest", 1, 1, []size{longest}, nil, []size{0}, 1, nil},
		{"by size", queue, batch, []size{192 * kb, 192 * kb}, nil, []size{192 * kb, 192 * kb, 1}, 1, [][]size{{192 * kb, 192 * kb}}},
		{"the last one exceeds it", queue, batch, []size{383 * kb, longest}, nil, []size{364 * kb, longest, 0}, 1, [][]size{{364 * kb, longest}}},
		{"half for unimportant ones", queue, batch, []size{384 * kb}, []size{1, 0}, []size{383 * kb, kb, kb}, 3, [][]size{{383 * kb, kb}}},
		{"large queue", 8 * queue, batch, []size{384 * kb}, []size{2688 * kb}, []size{3072 * kb, 1}, 1, [][]size{{2688 * kb}, {3072 * kb}}},
		{"batches by size", queue, 2, []size{0, 0}, nil, []size{384 * kb, kb, 382 * kb, kb}, 0, [][]size{{384 * kb}, {kb, 382 * kb}, {kb}}},
		{"larger than a batch", queue, batch, []size{500 * kb}, nil, []size{kb, 1}, 0, [][]size{{kb, 1}}},
		{"larger than the queue", queue, batch, []size{384 * kb}, nil, []size{769 * kb, kb}, 1, [][]size{{769 * kb}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g := &gate{entered: make(chan struct{}, 8), open: make(chan struct{})}
			dropped := []string{}
			q := NewQueue(g, BatchLimits{Queue: tt.queue, Size: tt.size, Delay: time.Hour, Timeout: time.Hour},
				func(reason string, n int) { dropped = append(dropped, slices.Repeat([]string{reason}, n)...) }, NewReporter(nil, ""))
			for _, item := range tt.first {
				q.Add(item, true)
			}
			<-g.entered
			for _, item := range tt.unimportant {
				q.Add(item, false)
			}
			for _, item := range tt.important {
				q.Add(item, true)
			}
			close(g.open)
			require.NoError(t, q.Shutdown(t.Context()))
			assert.Equal(t, append([][]size{tt.first}, tt.rest...), g.batches, "batches")
			assert.Equal(t, slices.Repeat([]string{ReasonQueueFull}, tt.dropped), dropped, "dropped")
		})
	}
}

// TestItemThatPanics checks that an item whose encoding panics does no harm to others.
func TestItemThatPanics(t *testing.T) {
	g := &gate{entered: make(chan struct{}, 8), open: make(chan struct{})}
	close(g.open)
	q := NewQueue(g, BatchLimits{Queue: 8, Size: 2, Delay: time.Hour, Timeout: time.Hour}, nil, NewReporter(nil, ""))
	assert.Panics(t, func() { q.Add(-1, true) })
	q.Add(1, true)
	require.NoError(t, q.Shutdown(t.Context()))
	assert.Equal(t, [][]size{{1}}, g.batches)
}
