package diagnosis

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/internal/demo/cloudmonitor"
)

// TestBacklog checks that copies come out in order, share no memory with what was put in, and
// leave no secret behind.
func TestBacklog(t *testing.T) {
	var b backlog
	o := success()
	body := []byte(strings.Repeat("a", 2*bodyEnd) + "end")
	for i := range maxBacklog + 1 {
		o.Target = fmt.Appendf(o.Target[:0], "/?Signature=secret-%d", i)
		o.ResponseBody, o.ResponseTail = body, nil
		if i%2 == 0 {
			o.ResponseBody, o.ResponseTail = body[:3], []byte("tail")
		}
		if put := b.put(o); put != (i < maxBacklog) {
			t.Fatalf("put %d: %v", i, put)
		}
	}
	seen := 0
	b.empty(func(c *classify.Observation) {
		if want := fmt.Sprintf("/?Signature=secret-%d", seen); string(c.Target) != want || string(c.UserAgent) != string(o.UserAgent) || c.Call != o.Call {
			t.Errorf("entry %d: %+v, target %s", seen, c, c.Target)
		}
		head, tail := body[:bodyEnd], body[len(body)-bodyEnd:]
		if seen%2 == 0 {
			head, tail = body[:3], []byte("tail")
		}
		if !bytes.Equal(c.ResponseBody, head) || !bytes.Equal(c.ResponseTail, tail) {
			t.Errorf("entry %d: body %s, tail %s", seen, c.ResponseBody, c.ResponseTail)
		}
		if b.put(o) {
			t.Error("put while it is in use")
		}
		seen++
	})
	if seen != maxBacklog {
		t.Errorf("%d entries", seen)
	}
	b.empty(func(*classify.Observation) { t.Error("an entry is left") })
	if texts := b.texts[:cap(b.texts)]; bytes.Count(texts, []byte{0}) != len(texts) {
		t.Errorf("texts are left: %q", bytes.Trim(texts, "\x00"))
	}
	o.RequestBody = make([]byte, backlogTexts/2)
	if !b.put(o) || b.put(o) || len(b.entries) != 1 || len(b.texts) < backlogTexts/2 {
		t.Errorf("texts are not limited: %d entries, %d bytes", len(b.entries), len(b.texts))
	}
}

// TestFlushAfterPanic checks that what caused a panic is not learned from again.
func TestFlushAfterPanic(t *testing.T) {
	var b backlog
	b.put(success())
	func() {
		defer func() { _ = recover() }()
		b.empty(func(*classify.Observation) { panic("") })
	}()
	b.empty(func(*classify.Observation) { t.Error("an entry is left") })
}

// TestLearnedBeforeFailure checks that a failure is seen after the successes before it, which
// are only in the backlog.
func TestLearnedBeforeFailure(t *testing.T) {
	l := newLab(t, false)
	l.do(attempt{})
	if len(l.d.backlog.entries) != 1 {
		t.Fatal("the success is not in the backlog")
	}
	revoked := attempt{do: cloudmonitor.Directive{Error: "InvalidClientTokenId"}, wait: 2 * retryWindow}
	l.repeat(keyRefusals-1, revoked)
	if _, all := l.do(revoked); len(all) == 0 || all[0].Cause != CauseKeyRevoked {
		t.Errorf("diagnosed %v", names(all))
	}
	l.want(CauseKeyRevoked)
	l.do(attempt{})
	l.want(CauseKeyRevoked, CauseKeyRecovered)
}

// TestClockOfSuccessBeforeFailure checks that a failure that was signed long before is not
// the sample of a second in which a success came before it.
func TestClockOfSuccessBeforeFailure(t *testing.T) {
	l := newLab(t, false)
	for range 2 * clockSamples {
		l.do(attempt{wait: time.Second})
		l.do(attempt{skew: -time.Hour, wait: time.Millisecond, query: "Action=ListMetrics&Version=2010-05-25"})
	}
	clocks := l.d.Clocks(l.now)
	if len(clocks) != 1 || !clocks[0].Skew.within(time.Minute) {
		t.Errorf("clocks %+v", clocks)
	}
}
