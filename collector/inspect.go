package collector

import (
	"time"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/classify/signature"
	"github.com/ksyun-tap/ksyun-tap/collector/relay"
)

// datedInterval is how often, on one connection, the Date of a response is read
// that was no failure and had data.
const datedInterval = time.Second

// inspect adds to the observation what a diagnosis needs, where it may be of
// use: the API's time, the items of a batch that failed, and what is wrong with a
// signature.
func (h *handler) inspect(o *classify.Observation, x *relay.Exchange, r *classify.Request, reply *classify.Response) {
	if o.Fault != classify.FaultNone {
		return
	}
	if since := x.Finish.Sub(h.dated); !o.Verdict.Outcome.Failed() && !o.Verdict.Empty && 0 <= since && since < datedInterval {
		return
	}
	h.dated = x.Finish
	o.Date = classify.ServerTime(&x.Response)
	if o.Verdict.Outcome == classify.OutcomePartial {
		o.Items = h.rules.classifier.Items(r.Body, reply, o.Verdict.FailedItems)
	}
	if o.Verdict.NotAuthenticated() {
		_, whole := x.RequestBody()
		o.Signature = h.rules.classifier.Signature(r, signature.Extent{Body: whole, Fields: true})
	}
}
