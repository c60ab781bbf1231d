package diagnosis

import "github.com/ksyun-tap/ksyun-tap/classify"

// Saved says what may be wrong with the signature of a request that somebody
// saved, and with the clock if its answer is there. An answer that is not about
// the signature does not count, nor does one that is missing.
func Saved(c *classify.Classifier, q *classify.Request, e classify.Extent, answer *classify.Response) []Diagnosis {
	o := &classify.Observation{}
	o.Call, _ = c.Request(q)
	o.Signature = c.Signature(q, e)
	if answer != nil {
		o.Verdict = c.Response(&o.Call, answer)
		o.Date = classify.ServerTime(answer.Header)
		// When it was sent is not known: the uncertainty is that of the Date.
		o.Start, o.FirstByte, o.End = o.Date, o.Date, o.Date
	}
	if v := &o.Verdict; !v.NotAuthenticated() {
		*v = classify.Verdict{Outcome: classify.OutcomeError, Category: classify.CategoryAuth, RequestID: v.RequestID}
	}
	return New().Diagnose(o)
}
