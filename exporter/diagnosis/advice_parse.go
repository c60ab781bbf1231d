package diagnosis

import (
	"sync"

	"github.com/ksyun-tap/ksyun-tap/classify"
)

// ParseAdvice returns the advice of a log line, which has what to do in English only.
// The Chinese text is added if that is known.
func ParseAdvice(do string, r Retry, runbook string) Advice {
	text, ok := adviceTexts()[do]
	if !ok {
		text = Text{English: do, Chinese: do} // from a catalogue of the user's
	}
	return advise(text, r, runbook)
}

// adviceTexts holds every text of advice that is part of the program, by its English
// form.
var adviceTexts = sync.OnceValue(func() map[string]Text {
	all := make(map[string]Text)
	for _, e := range classify.DefaultCatalog().Entries() {
		all[e.Advice.English] = e.Advice
	}
	for _, c := range causes() {
		all[c.Advice.Do.English] = c.Advice.Do
	}
	for _, g := range advices().categories {
		all[g.Advice.English] = g.Advice
	}
	for _, g := range advices().outcomes {
		all[g.Advice.English] = g.Advice
	}
	return all
})
