package journal

import "github.com/ksyun-tap/ksyun-tap/exporter/record"

// Resolve notes in the earlier attempts of a call that the attempt r has succeeded,
// and returns them. Their records are replaced by copies, because records are
// immutable.
func (j *Journal) Resolve(r *record.Record) (all []*record.Record) {
	if r.CallID == "" {
		return nil
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	for seq, left := j.next-1, r.Attempt-1; seq >= j.oldest() && left > 0; seq-- {
		s := j.at(seq)
		if (*s).CallID != r.CallID {
			continue
		}
		resolved := **s
		resolved.CallOutcome = r.CallOutcome
		*s = &resolved
		all = append(all, &resolved)
		left--
	}
	return all
}
