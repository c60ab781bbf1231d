package connlog_test

import (
	"errors"
	"net"
	"net/netip"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/ksyun-tap/ksyun-tap/collector"
	"github.com/ksyun-tap/ksyun-tap/internal/connlog"
)

// TestHandshakes checks that each host is logged once a minute, with what happens to later
// connections, and that the number of hosts is limited.
func TestHandshakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core, logged := observer.New(zap.InfoLevel)
		tunnels := false
		log := connlog.Handshakes(zap.New(core), func() bool { return tunnels })
		failed := func(host string, reason collector.HandshakeReason) {
			log(collector.HandshakeError{Host: host, Client: netip.MustParseAddrPort("127.0.0.1:1"), Reason: reason, Err: errors.New("e")})
		}
		failed("a", collector.HandshakeUntrusted)
		failed("a", collector.HandshakeUntrusted)
		assert.Equal(t, 1, logged.Len(), "lines for one host")
		assert.Equal(t, "intercepted", logged.All()[0].ContextMap()["later_connections"])
		tunnels = true
		for _, reason := range collector.HandshakeReasons() {
			failed(string(reason), reason)
			line := logged.All()[logged.Len()-1].ContextMap()
			assert.Equal(t, string(reason), line["reason"])
			assert.NotEmpty(t, line["advice"], reason)
		}
		assert.Equal(t, "tunnelled unobserved for up to an hour", logged.FilterField(zap.String("host", string(collector.HandshakeUntrusted))).All()[0].ContextMap()["later_connections"])
		for i := range 200 {
			failed(strconv.Itoa(i), collector.HandshakeOther)
		}
		assert.Equal(t, 100, logged.Len(), "lines for many hosts")
		<-time.After(time.Minute + time.Second)
		failed("a", collector.HandshakeUntrusted)
		assert.Equal(t, 101, logged.Len(), "lines in the next minute")
	})
}

// TestRefusals checks that one refused connection is logged in a minute.
func TestRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core, logged := observer.New(zap.InfoLevel)
		log := connlog.Refusals(zap.New(core))
		client := net.TCPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:1"))
		log(client, collector.ErrDirect)
		log(client, collector.ErrLoop)
		assert.Equal(t, 1, logged.Len())
		assert.Contains(t, logged.All()[0].ContextMap()["advice"], "init-redirect")
		<-time.After(time.Minute)
		log(client, collector.ErrLoop)
		assert.Equal(t, 2, logged.Len())
		assert.Contains(t, logged.All()[1].ContextMap()["advice"], "--exclude-uid")
	})
}
