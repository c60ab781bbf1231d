package relay

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// recordLayer is that of TLS 1.3, to send what crypto/tls never sends, such
// as updates of keys.
type recordLayer struct {
	t       testing.TB
	in, out half
	updates int // of the other side's keys
}

// half is one direction.
type half struct {
	secret []byte
	aead   cipher.AEAD
	iv     []byte
	seq    uint64
}

// The types of records and of the handshake messages after a handshake.
const (
	typeAlert     = 21
	typeHandshake = 22
	typeData      = 23

	keyUpdate = 24
)

// takeUp goes on after a handshake of TLS 1.3 whose keys were logged by one side.
func takeUp(t testing.TB, tc *tls.Conn, log string, client bool) *recordLayer {
	t.Helper()
	if state := tc.ConnectionState(); state.Version != tls.VersionTLS13 || state.CipherSuite != tls.TLS_AES_128_GCM_SHA256 {
		t.Fatalf("TLS %#x with %#x is not expected", state.Version, state.CipherSuite)
	}
	r := &recordLayer{t: t}
	ofClient, ofServer := &r.in, &r.out
	if client {
		ofClient, ofServer = &r.out, &r.in
	}
	for line := range strings.Lines(log) {
		fields := strings.Fields(line)
		secret, err := hex.DecodeString(fields[2])
		require.NoError(t, err)
		switch fields[0] {
		case "CLIENT_TRAFFIC_SECRET_0":
			ofClient.rekey(secret)
		case "SERVER_TRAFFIC_SECRET_0":
			ofServer.rekey(secret)
		}
	}
	return r
}

func (h *half) rekey(secret []byte) {
	block, err := aes.NewCipher(expand(secret, "key", 16))
	if err != nil {
		panic(err)
	}
	if h.aead, err = cipher.NewGCM(block); err != nil {
		panic(err)
	}
	h.secret, h.iv, h.seq = secret, expand(secret, "iv", 12), 0
}

// update goes on to the next keys.
func (h *half) update() { h.rekey(expand(h.secret, "traffic upd", len(h.secret))) }

// expand is HKDF-Expand-Label (RFC 8446, 7.1) with an empty context.
func expand(secret []byte, label string, n int) []byte {
	label = "tls13 " + label
	info := string([]byte{byte(n >> 8), byte(n), byte(len(label))}) + label + "\x00"
	key, err := hkdf.Expand(sha256.New, secret, info, n)
	if err != nil {
		panic(err)
	}
	return key
}

// nonce returns that of the next record.
func (h *half) nonce() []byte {
	nonce := bytes.Clone(h.iv)
	for i, b := range binary.BigEndian.AppendUint64(nil, h.seq) {
		nonce[4+i] ^= b
	}
	h.seq++
	return nonce
}

// seal returns a record of a type.
func (r *recordLayer) seal(typ byte, data []byte) []byte {
	inner := append(bytes.Clone(data), typ)
	n := len(inner) + r.out.aead.Overhead()
	head := []byte{typeData, 3, 3, byte(n >> 8), byte(n)}
	return r.out.aead.Seal(bytes.Clone(head), r.out.nonce(), inner, head)
}

// update returns the records of an update of keys in pieces of a size.
func (r *recordLayer) update(requested bool, size int) []byte {
	message := []byte{keyUpdate, 0, 0, 1, 0}
	if requested {
		message[4] = 1
	}
	var b []byte
	for len(message) > 0 {
		n := min(size, len(message))
		b = append(b, r.seal(typeHandshake, message[:n])...)
		message = message[n:]
	}
	r.out.update()
	return b
}

// open returns the data in complete records, and whether close_notify is the last.
func (r *recordLayer) open(b []byte) (data []byte, closed bool) {
	r.t.Helper()
	for len(b) > 0 {
		n := 5 + int(binary.BigEndian.Uint16(b[3:]))
		inner, err := r.in.aead.Open(nil, r.in.nonce(), b[5:n], b[:5])
		if err != nil || closed {
			r.t.Fatalf("a record cannot be read, or is behind close_notify: %v", err)
		}
		b = b[n:]
		switch typ, inner := inner[len(inner)-1], inner[:len(inner)-1]; {
		case typ == typeData:
			data = append(data, inner...)
		case typ == typeAlert && inner[1] == 0:
			closed = true
		case typ == typeHandshake && inner[0] == keyUpdate:
			r.updates++
			r.in.update()
		case typ == typeHandshake: // a session ticket
		default:
			r.t.Fatalf("a record of type %d: %x", typ, inner)
		}
	}
	return data, closed
}
