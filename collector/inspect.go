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
func (h *handler) inspect(x *relay.Exchange, fault classify.Fault) {
	if fault != classify.FaultNone {
		return
	}
	o := &h.obs
	if since := x.Finish.Sub(h.dated); !o.Verdict.Outcome.Failed() && !o.Verdict.Empty && 0 <= since && since < datedInterval {
		return
	}
	h.dated = x.Finish
	o.Date = classify.ServerTime(&x.Response)
	q := &x.Request
	body, whole := x.RequestBody()
	if o.Verdict.Outcome == classify.OutcomePartial {
		o.Items = h.rules.classifier.Items(body, &h.reply, o.Verdict.FailedItems)
	}
	if !o.Verdict.NotAuthenticated() {
		return
	}
	o.Signature = h.rules.classifier.Signature(&classify.Request{
		Method: classify.MethodName(q.Method()), Target: target(q), Host: h.authority, Header: q, Body: body,
	}, signature.Extent{Body: whole, Fields: true})
}
