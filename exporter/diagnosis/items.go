package diagnosis

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/ksyun-tap/ksyun-tap/classify"
)

// The causes of failures inside a response with status 2xx.
const (
	CauseItemsFailed Cause = "items_failed"
	CauseMasked      Cause = "masked"
)

// shownItems is the maximum number of items that are named in the evidence.
const shownItems = 3

// inside returns what failed inside a response with status 2xx: the items of a
// batch, or all of it. Blame and advice are those of the attempt.
func inside(o *classify.Observation) []Diagnosis {
	v := &o.Verdict
	var d Diagnosis
	switch v.Outcome { //nolint:exhaustive // the others are not inside a 2xx
	case classify.OutcomePartial:
		d = say(CauseItemsFailed, Certain, itemFacts(v, o.Items)...)
	case classify.OutcomeMasked:
		d = say(CauseMasked, Certain,
			Fact{Name: "status", Value: strconv.Itoa(v.Status)},
			Fact{Name: "form", Value: string(v.Form)},
			Fact{Name: "code", Value: orDash(v.CanonicalCode())})
	default:
		return nil
	}
	d.Blame, d.Advice = v.Blame, ForAttempt(o)
	return []Diagnosis{d}
}

// itemFacts returns the facts about the failed items of a batch. items may be nil.
func itemFacts(v *classify.Verdict, items *classify.Items) []Fact {
	failed, share, names := v.FailedItems, "", ""
	if items != nil {
		failed = items.Failed
		if items.Total > 0 {
			share = fmt.Sprintf("/%d (%d%%)", items.Total, (100*failed+items.Total/2)/items.Total)
		}
		shown := items.Names[:min(len(items.Names), shownItems)]
		names = strings.Join(shown, ", ")
		if n := failed - len(shown); n > 0 && names != "" {
			names += fmt.Sprintf(", ... (+%d)", n)
		}
	}
	return []Fact{
		{Name: "failed", Value: strconv.Itoa(failed) + share},
		{Name: "names", Value: orDash(names)},
	}
}
