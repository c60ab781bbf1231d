package record

import (
	"crypto/rand"
	"sync"
	"time"
)

// IDLength is the length of a record's ID in characters.
const IDLength = timeDigits + tapDigits

const (
	timeDigits = 11 // microseconds since 1970, until the year 3111
	tapDigits  = 4

	// digits are the digits of an ID, in the order of their bytes so that IDs sort
	// like the numbers they hold. Letters that look like digits are left out.
	digits     = "0123456789abcdefghjkmnpqrstvwxyz"
	digitWidth = 5 // bits
)

// IDs makes the IDs of records:
//
//	1m4q7t9k2zj x7f2
//	│           └ random, one per process
//	└ time of making it in microseconds, or one more than in the previous ID
//
// IDs are unique, also among processes and restarts, and each one is greater than
// the one before. They consist of lower-case letters and digits. IDs is safe for
// concurrent use.
type IDs struct {
	mu   sync.Mutex
	last uint64
	tap  [tapDigits]byte
}

// NewIDs returns a source of IDs with a random suffix.
func NewIDs() *IDs {
	s := &IDs{}
	_, _ = rand.Read(s.tap[:]) // never fails
	for i, b := range s.tap {
		s.tap[i] = digits[b%byte(len(digits))]
	}
	return s
}

// Next returns the next ID.
func (s *IDs) Next(now time.Time) string {
	s.mu.Lock()
	s.last = max(s.last+1, uint64(max(0, now.UnixMicro()))) //nolint:gosec // not negative
	n := s.last
	s.mu.Unlock()
	var id [IDLength]byte
	for i := timeDigits - 1; i >= 0; i-- {
		id[i] = digits[n%uint64(len(digits))]
		n >>= digitWidth
	}
	copy(id[timeDigits:], s.tap[:])
	return string(id[:])
}

// IsID reports whether s has the form of a record's ID or of the beginning of one.
// The empty text has it.
func IsID(s string) bool {
	if len(s) > IDLength {
		return false
	}
	for i := range len(s) {
		if !isDigit(s[i]) {
			return false
		}
	}
	return true
}

func isDigit(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'z' && c != 'i' && c != 'l' && c != 'o' && c != 'u'
}
