package record

import (
	"encoding/binary"
	"encoding/hex"

	"github.com/ksyun-tap/ksyun-tap/exporter/diagnosis"
)

// SetAttempt sets the place of the attempt in its call. It must be called before r
// is shared.
func (r *Record) SetAttempt(at diagnosis.Attempt) {
	if at.CallID == 0 {
		return
	}
	var id [8]byte
	var digits [16]byte
	binary.BigEndian.PutUint64(id[:], at.CallID)
	hex.Encode(digits[:], id[:])
	r.CallID, r.Attempt = string(digits[:]), at.Number
	if at.Result == diagnosis.RetrySucceeded {
		r.CallOutcome = diagnosis.CallSuccessAfterRetry
	}
}
