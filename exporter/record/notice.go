package record

import "github.com/ksyun-tap/ksyun-tap/exporter/diagnosis"

// OfNotice returns a copy of e that is safe to output. Its texts were made by the
// diagnosis; names that programs sent are redacted and truncated.
func OfNotice(e *diagnosis.Notice) *diagnosis.Notice {
	c := *e
	c.Credential = cut(c.Credential, maxWord)
	for _, s := range []*string{&c.Service, &c.Action, &c.Region, &c.RequestID} {
		*s = scrub(*s, maxWord)
	}
	return &c
}
