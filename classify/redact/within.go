package redact

import (
	"bytes"
	"encoding/binary"
)

// within are the texts in which the secrets of a set are looked for, if they are known before
// the secrets are. A part of a request that has no minSecret bytes in a row in common with
// them need not be searched for secrets, which would take several times as long.
type within struct {
	announced, escaped bool
	texts              []byte // folded, each with a zero behind it
	grams              [1 << gramBits / 64]uint64
}

// gramBits is the length of the hash of minSecret bytes in a row. Few of those that are not in
// texts of some hundred bytes have the hash of one that is.
const gramBits = 16

// gram returns the place in grams of minSecret bytes in a row.
func gram(bytes uint32) (word, bit uint32) {
	h := bytes * 0x9e3779b1 >> (32 - gramBits)
	return h / 64, h % 64
}

// LookIn announces one of the texts in which the secrets of s will be looked for, before any
// secret is added. Those that cannot be in any announced text are then left out.
func LookIn[T string | []byte](s *Set, text T) {
	w := &s.within
	w.announced = true
	last := uint32(0)
	for i := range len(text) {
		c := text[i]
		w.escaped = w.escaped || isIn(c, escapes)
		c = folded[c]
		w.texts = append(w.texts, c)
		if last = last<<8 | uint32(c); i >= minSecret-1 {
			word, bit := gram(last)
			w.grams[word] |= 1 << bit
		}
	}
	w.texts = append(w.texts, 0)
}

// forget makes w ready for other texts.
func (w *within) forget() {
	last := uint32(0)
	for _, c := range w.texts {
		last = last<<8 | uint32(c)
		word, _ := gram(last)
		w.grams[word] = 0
	}
	clear(w.texts)
	w.announced, w.escaped, w.texts = false, false, w.texts[:0]
}

// isLimited reports whether anything can be left out. Escaped texts may spell what they do
// not contain.
func (w *within) isLimited() bool { return w.announced && !w.escaped }

// mayHave reports whether a normalized secret may be in the texts.
func (w *within) mayHave(secret []byte) bool {
	return !w.isLimited() || len(secret) >= minSecret && bytes.Contains(w.texts, secret[:minSecret])
}

// IsApart reports whether nothing in a part of a request, as it stands there, can be in the
// announced texts. It does not hold for what is decoded from it.
func (s *Set) IsApart(part []byte) bool {
	w := &s.within
	if !w.isLimited() {
		return false
	}
	last := uint32(0)
	for i, b := range part {
		c := partBytes[b]
		if c == escaped {
			return false
		}
		last = last<<8 | uint32(c)
		if word, bit := gram(last); w.grams[word]>>bit&1 != 0 && i >= minSecret-1 && w.mayHave(foldedBytes(last)) {
			return false
		}
	}
	return true
}

// foldedBytes returns the bytes of a gram.
func foldedBytes(last uint32) []byte {
	return binary.BigEndian.AppendUint32(make([]byte, 0, minSecret), last)
}

// escaped is what an escape may begin with in partBytes.
const escaped = 1 << 8

// partBytes are folded, with escaped.
var partBytes = func() (t [256]uint16) {
	for c := range t {
		t[c] = uint16(folded[c])
		if isIn(byte(c), escapes) {
			t[c] = escaped
		}
	}
	return t
}()
