package record

import (
	"fmt"

	"github.com/ksyun-tap/ksyun-tap/exporter/diagnosis"
)

// SetAttempt sets the place of the attempt in its call. It must be called before r
// is shared.
func (r *Record) SetAttempt(at diagnosis.Attempt) {
	if at.CallID == 0 {
		return
	}
	r.CallID, r.Attempt = fmt.Sprintf("%016x", at.CallID), at.Number
	if at.Result == diagnosis.RetrySucceeded {
		r.CallOutcome = diagnosis.CallSuccessAfterRetry
	}
}
