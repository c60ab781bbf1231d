package record

import (
	"crypto/rand"
	"strings"
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

// ID is the ID of a record. The zero value is none.
type ID [IDLength]byte

func (id ID) String() string { return string(id[:]) }

// Next returns the next ID.
func (s *IDs) Next(now time.Time) (id ID) {
	s.mu.Lock()
	s.last = max(s.last+1, micros(now))
	n := s.last
	s.mu.Unlock()
	format(id[:timeDigits], n)
	copy(id[timeDigits:], s.tap[:])
	return id
}

// Follow makes all further IDs greater than id, which was made by another process.
// It does nothing if id is not an ID.
func (s *IDs) Follow(id string) {
	if len(id) != IDLength || !IsID(id) {
		return
	}
	var n uint64
	for i := range timeDigits {
		n = n<<digitWidth | uint64(strings.IndexByte(digits, id[i])) //nolint:gosec // not negative: a digit
	}
	s.mu.Lock()
	s.last = max(s.last, n)
	s.mu.Unlock()
}

// FirstID returns a text that is not greater than the IDs made at t or later, and
// greater than those made before.
func FirstID(t time.Time) string {
	var text [timeDigits]byte
	format(text[:], micros(t))
	return string(text[:])
}

// micros returns t in microseconds since 1970.
func micros(t time.Time) uint64 { return uint64(max(0, t.UnixMicro())) }

// format writes n in timeDigits digits.
func format(text []byte, n uint64) {
	for i := timeDigits - 1; i >= 0; i-- {
		text[i] = digits[n%uint64(len(digits))]
		n >>= digitWidth
	}
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
