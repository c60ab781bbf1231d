package diagnosis

import (
	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/classify/signature"
)

// Saved returns the possible causes of a rejected signature for a saved request,
// and of a wrong clock if the response was saved too. The response is ignored if
// it is missing or does not concern the signature.
func Saved(c *classify.Classifier, q *classify.Request, e signature.Extent, response *classify.Response) []Diagnosis {
	o := &classify.Observation{}
	o.Call, _ = c.Request(q)
	o.Signature = c.Signature(q, e)
	if response != nil {
		o.Verdict = c.Response(&o.Call, response)
		o.Date = classify.ServerTime(response.Header)
		// The time of sending is not known, so the uncertainty is that of the Date.
		o.Start, o.FirstByte, o.End = o.Date, o.Date, o.Date
	}
	if v := &o.Verdict; !v.NotAuthenticated() {
		*v = classify.Verdict{Outcome: classify.OutcomeError, Category: classify.CategoryAuth, RequestID: v.RequestID}
	}
	return New().Diagnose(o, Attempt{})
}
