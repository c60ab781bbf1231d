package transport

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/ksyun-tap/ksyun-tap/classify"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// event is a call of a sink's method.
type event struct {
	call *classify.Call        // of Begin
	obs  *classify.Observation // of Observe
}

// recorder is a sink that keeps its arguments.
type recorder chan event

func (r recorder) Begin(call *classify.Call) {
	c := *call
	r <- event{call: &c}
}

func (r recorder) Observe(o *classify.Observation) { r <- event{obs: o.Clone()} }
