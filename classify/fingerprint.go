package classify

import (
	"hash/maphash"
	"math/bits"
)

// fingerprintSeed is the same for all classifiers of a process, so that
// fingerprints survive a reload. It is random, so that collisions cannot be
// provoked.
var fingerprintSeed = maphash.MakeSeed()

// fingerprint accumulates the hash of what a request asks for: its method, host,
// path, region, action, version and parameters, without what differs between two
// attempts of one call (signature, date, nonce) or says who asks (key, token).
//
// The order of parameters does not matter, because programs that keep them in a
// hash table send them in another order each time. The order within a body
// does, unless the body is a form that contains the signature: a JSON body is
// encoded once, or the same way each time. Escapes are compared as they are
// sent, because a program always escapes in the same way.
type fingerprint uint64

// add adds a parameter with its value, or a body.
func (f *fingerprint) add(b []byte) {
	if len(b) > 0 {
		*f += fingerprint(maphash.Bytes(fingerprintSeed, b)) // a sum, so that a repeated parameter counts
	}
}

// addPart adds a part of a multipart form, without its boundary, which is random.
func (f *fingerprint) addPart(name, value []byte) {
	*f += fingerprint(bits.RotateLeft64(maphash.Bytes(fingerprintSeed, name), 1) ^ maphash.Bytes(fingerprintSeed, value))
}

// of returns the fingerprint of the call, of which action and version were added
// where they were found. It is never 0.
func (f fingerprint) of(method string, path []byte, c *Call) uint64 {
	h := uint64(f) ^ maphash.String(fingerprintSeed, c.Host) ^ bits.RotateLeft64(maphash.String(fingerprintSeed, c.Region), 1)
	if len(path) > 1 {
		h += bits.RotateLeft64(maphash.Bytes(fingerprintSeed, path), 2)
	}
	if method != "" { // these two distinguish all methods of HTTP
		h = bits.RotateLeft64(h, len(method)) + uint64(method[0])
	}
	return max(h, 1)
}
