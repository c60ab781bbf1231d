package relay

import "encoding/binary"

// dottedName returns the server name of a ClientHello if it ends with a dot, as it
// does where a URL's host does: RFC 6066 forbids it, and crypto/tls cannot read such
// a ClientHello, but servers take it. It returns "" for any other, or what is none.
func dottedName(records []byte) string {
	hello := fields{handshake(records)}
	hello.skip(2 + 32)               // version, random
	hello.skip(int(hello.number(1))) // session ID
	hello.skip(int(hello.number(2))) // cipher suites
	hello.skip(int(hello.number(1))) // compression methods
	extensions := fields{hello.take(int(hello.number(2)))}
	for len(extensions.b) > 0 {
		kind := extensions.number(2)
		content := extensions.take(int(extensions.number(2)))
		if kind != 0 { // server_name
			continue
		}
		names := fields{content}
		if names.number(2); names.number(1) != 0 { // host_name
			return ""
		}
		name := string(names.take(int(names.number(2))))
		if n := len(name) - 1; n > 0 && name[n] == '.' && isServerName(name) {
			return name
		}
		return ""
	}
	return ""
}

// handshake returns the ClientHello in the first records, without its header; nil if
// there is none, or only a part.
func handshake(records []byte) []byte {
	var message []byte
	for r := (fields{records}); len(r.b) > 0 && r.number(1) == recordHandshake; {
		r.skip(2) // version
		message = append(message, r.take(int(r.number(2)))...)
	}
	m := fields{message}
	if m.number(1) != 1 { // client_hello
		return nil
	}
	return m.take(int(m.number(3)))
}

// fields reads fields off the front of b. If b is too short, it becomes empty, and
// fields are 0 and empty from then on.
type fields struct{ b []byte }

func (f *fields) take(n int) []byte {
	if n > len(f.b) {
		f.b = nil
		return nil
	}
	taken := f.b[:n]
	f.b = f.b[n:]
	return taken
}

func (f *fields) skip(n int) { f.take(n) }

// number reads a number of at most 4 bytes.
func (f *fields) number(size int) uint32 {
	var n [4]byte
	copy(n[4-size:], f.take(size))
	return binary.BigEndian.Uint32(n[:])
}
