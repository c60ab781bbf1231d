package redact

// byteSet is a set of bytes, as a bit in byteSets.
type byteSet uint16

const (
	alnums      byteSet = 1 << iota // letters and digits
	hexDigits                       // hexadecimal digits
	runs                            // what may be part of a key: Base64 in both alphabets
	nameParts                       // what may be part of a parameter's name
	quotes                          // quotes, and what stands before one that is escaped
	valueEnds                       // what parts values that are not quoted
	userEnds                        // what may not be in a user and password before a host
	escapes                         // what an escape begins with
	triggers                        // what is in every secret that is not a long run
	notInTarget                     // what may not stand in a request target
)

var byteSets = func() (t [256]byteSet) {
	add := func(set byteSet, bytes string) {
		for _, b := range []byte(bytes) {
			t[b] |= set
		}
	}
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	add(alnums, letters)
	add(hexDigits, "0123456789abcdefABCDEF")
	add(runs, letters+"-_+/")
	add(nameParts, letters+"-_.[]")
	add(quotes, "\"'`\\")
	add(valueEnds, " ,;&\"'<>)]}\r\n\t")
	add(userEnds, "@ \"'`<>(),;=&?#/\r\n\t")
	add(escapes, "%\\&")
	add(triggers, " .=:>@%\\&")
	for c := range t {
		if c <= ' ' || c >= 0x7f {
			t[c] |= notInTarget
		}
	}
	add(notInTarget, "\"<>\\")
	return t
}()

// isIn reports whether c is in set.
func isIn(c byte, set byteSet) bool { return byteSets[c]&set != 0 }

// isAlnum reports whether c is a letter or a digit.
func isAlnum(c byte) bool { return isIn(c, alnums) }
