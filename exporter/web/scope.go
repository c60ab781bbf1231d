package web

import (
	"html/template"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/ksyun-tap/ksyun-tap/exporter/diagnosis"
	"github.com/ksyun-tap/ksyun-tap/exporter/record"
)

// sinceOf returns when failures of the kind of r began, to the minute, or the zero time
// if it is not known.
func sinceOf(r *record.Record) time.Time {
	since, _ := diagnosis.ParseSentence(r.Scope, r.Time)
	return since
}

// affectedIn returns the function that returns what failures of the kind of r affect, in a
// language. Onset and blame, which the sentence also names, are shown elsewhere.
func affectedIn(l diagnosis.Language) func(r *record.Record) template.HTML {
	return func(r *record.Record) template.HTML {
		_, affected := diagnosis.ParseSentence(r.Scope, r.Time)
		text := affected.In(l)
		if first, size := utf8.DecodeRuneInString(text); size > 0 {
			text = string(unicode.ToUpper(first)) + text[size:]
		}
		var b strings.Builder
		end := 0
		for _, i := range diagnosis.SentenceTimes.FindAllStringIndex(text, -1) {
			format := minute
			if i[1]-i[0] > len("15:04 UTC") {
				format = moment
			}
			b.WriteString(template.HTMLEscapeString(text[end:i[0]]))
			b.WriteString(string(format(diagnosis.SentenceTime(text[i[0]:i[1]], r.Time))))
			end = i[1]
		}
		b.WriteString(template.HTMLEscapeString(text[end:]))
		return template.HTML(b.String()) //nolint:gosec // escaped above
	}
}
