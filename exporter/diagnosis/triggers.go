package diagnosis

import (
	"sync"
	"time"
)

// Trigger is something that may have caused failures.
type Trigger string

// The triggers. The first two are reported with Note, the others are noticed.
const (
	TriggerReload  Trigger = "reload"      // the tap's configuration was reloaded
	TriggerStart   Trigger = "start"       // the tap was started
	TriggerKey     Trigger = "new_key"     // a credential was used for the first time
	TriggerProgram Trigger = "new_program" // a program or a version of it called for the first time
	TriggerClock   Trigger = "clock_step"  // the clock of the tap's host was set
)

// Text returns the event in words for users, to be put after "after"
// in English.
func (e Trigger) Text() Text {
	switch e {
	case TriggerReload:
		return Text{English: "a reload of the tap's configuration", Chinese: "ksyun-tap 重新加载配置"}
	case TriggerStart:
		return Text{English: "the start of the tap", Chinese: "ksyun-tap 启动"}
	case TriggerKey:
		return Text{English: "the first use of a new key", Chinese: "首次使用新密钥"}
	case TriggerProgram:
		return Text{English: "the first call of a new program or version", Chinese: "新程序或新版本首次调用"}
	case TriggerClock:
		return Text{English: "a step of the host's clock", Chinese: "主机时钟被调整"}
	}
	return Text{English: string(e), Chinese: string(e)}
}

// Happening is an event and its time.
type Happening struct {
	Event Trigger   `json:"event"`
	At    time.Time `json:"at"`
}

const (
	maxHappenings = 32              // number of events remembered
	eventReach    = 2 * time.Minute // how long before a failure an event may have caused it
	clockStep     = 2 * time.Second // smaller steps of the clock are not events
)

// happenings remembers the last events. Its memory is bounded by maxHappenings.
type happenings struct {
	mu   sync.Mutex
	ring [maxHappenings]Happening
	next int
	step time.Duration // the wall clock minus the monotonic clock, when last seen
	base time.Time     // the time that step is relative to
}

// note records an event.
func (h *happenings) note(e Trigger, at time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ring[h.next] = Happening{e, at.UTC()}
	h.next = (h.next + 1) % maxHappenings
}

// clock notes a step of the clock if the wall clock has moved otherwise than the
// monotonic clock since the last call.
func (h *happenings) clock(now time.Time) {
	h.mu.Lock()
	if h.base.IsZero() {
		h.base = now
	}
	step := now.Round(0).Sub(h.base.Round(0)) - now.Sub(h.base)
	moved := (step - h.step).Abs() >= clockStep
	h.step = step
	h.mu.Unlock()
	if moved {
		h.note(TriggerClock, now)
	}
}

// before returns the last event that may have caused a failure at the given time,
// or nil.
func (h *happenings) before(at time.Time) *Happening {
	h.mu.Lock()
	defer h.mu.Unlock()
	var last *Happening
	for i := range h.ring {
		e := h.ring[i]
		if e.At.IsZero() || e.At.After(at) || at.Sub(e.At) > eventReach {
			continue
		}
		if last == nil || !e.At.Before(last.At) {
			last = &e
		}
	}
	return last
}
