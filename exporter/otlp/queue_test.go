package otlp

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// text is an item with so many bytes of text.
type text int

func (n text) TextBytes() int { return int(n) }

// gate is an exporter whose exports end when it is open.
type gate struct {
	entered, open chan struct{}
	batches       [][]text
}

func (g *gate) Export(_ context.Context, items []text) error {
	g.batches = append(g.batches, slices.Clone(items))
	g.entered <- struct{}{}
	<-g.open
	return nil
}

func (*gate) Shutdown(context.Context) error { return nil }

// TestQueueOfLongTexts checks how many items a queue and a batch may have by their number
// and by the length of their texts.
func TestQueueOfLongTexts(t *testing.T) {
	const (
		kb      = 1 << 10
		longest = 19 * kb // that there are
		queue   = 256     // items, whose texts may have 512 KiB
		size    = 128     // items of a batch, whose texts may have 256 KiB
	)
	tests := []struct {
		name        string
		queue, size int
		first       []text   // the first batch
		unimportant []text   // come while that is exported
		important   []text   // come after those
		dropped     int      // of all
		rest        [][]text // the other batches
	}{
		{"by number", 6, 2, []text{kb, kb}, []text{kb, kb}, []text{kb, kb, kb, kb}, 2, [][]text{{kb, kb}, {kb, kb}}},
		{"without texts", 4, 2, []text{0, 0}, nil, []text{0, 0, 0}, 1, [][]text{{0, 0}}},
		{"the longest in the smallest", 1, 1, []text{longest}, nil, []text{0}, 1, nil},
		{"by length", queue, size, []text{128 * kb, 128 * kb}, nil, []text{128 * kb, 128 * kb, 1}, 1, [][]text{{128 * kb, 128 * kb}}},
		{"a shorter one fits", queue, size, []text{256 * kb}, nil, []text{255 * kb, kb + 1, kb}, 1, [][]text{{255 * kb, kb}}},
		{"half for unimportant ones", queue, size, []text{256 * kb}, []text{1, 0}, []text{256 * kb}, 1, [][]text{{0, 256 * kb}}},
		{"large queue", 8 * queue, size, []text{256 * kb}, []text{1792 * kb}, []text{2048 * kb, 1}, 1, [][]text{{1792 * kb}, {2048 * kb}}},
		{"batches by length", queue, 2, []text{0, 0}, nil, []text{200 * kb, 200 * kb, 100 * kb}, 0, [][]text{{200 * kb}, {200 * kb}, {100 * kb}}},
		{"larger than a batch", queue, size, []text{384 * kb}, nil, []text{kb, 1}, 0, [][]text{{kb, 1}}},
		{"larger than the queue", queue, size, []text{256 * kb}, nil, []text{513 * kb, kb}, 1, [][]text{{kb}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g := &gate{entered: make(chan struct{}, 8), open: make(chan struct{})}
			dropped := []string{}
			q := NewQueue(g, Batch{Queue: tt.queue, Size: tt.size, Delay: time.Hour, Timeout: time.Hour},
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
			assert.Equal(t, append([][]text{tt.first}, tt.rest...), g.batches, "batches")
			assert.Equal(t, slices.Repeat([]string{ReasonQueueFull}, tt.dropped), dropped, "dropped")
		})
	}
}
