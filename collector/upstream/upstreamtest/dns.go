// Package upstreamtest provides a DNS server for tests.
package upstreamtest

import (
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"sync"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

// ServeDNS starts a DNS server, over UDP and TCP, that sends the replies that respond
// returns, until the test ends. It returns its address.
func ServeDNS(t testing.TB, respond func(query []byte, tcp bool) [][]byte) (address string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	pc, err := net.ListenPacket("udp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	t.Cleanup(func() {
		pc.Close()
		ln.Close()
		wg.Wait()
	})
	wg.Go(func() { ServeUDP(pc, respond) })
	wg.Go(func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			size := make([]byte, 2)
			io.ReadFull(nc, size)
			b := make([]byte, binary.BigEndian.Uint16(size))
			io.ReadFull(nc, b)
			for _, reply := range respond(b, true) {
				nc.Write(binary.BigEndian.AppendUint16(nil, uint16(len(reply))))
				nc.Write(reply)
			}
			nc.Close()
		}
	})
	return ln.Addr().String()
}

// ServeUDP sends the replies that respond returns until pc is closed.
func ServeUDP(pc net.PacketConn, respond func(query []byte, tcp bool) [][]byte) {
	b := make([]byte, 1500)
	for {
		n, from, err := pc.ReadFrom(b)
		if err != nil {
			return
		}
		for _, reply := range respond(b[:n], false) {
			pc.WriteTo(reply, from)
		}
	}
}

// Reply answers a query with these addresses and flags.
func Reply(t testing.TB, query []byte, h dnsmessage.Header, cname bool, addrs ...string) []byte {
	t.Helper()
	var p dnsmessage.Parser
	asked, err := p.Start(query)
	if err != nil {
		t.Error(err)
		return nil
	}
	q, err := p.Question()
	if err != nil {
		t.Error(err)
		return nil
	}
	h.ID, h.Response = asked.ID^h.ID, true
	b := dnsmessage.NewBuilder(nil, h)
	b.StartQuestions()
	b.Question(q)
	b.StartAnswers()
	name := q.Name
	if cname {
		name = dnsmessage.MustNewName("real.example.")
		b.CNAMEResource(dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class}, dnsmessage.CNAMEResource{CNAME: name})
	}
	for _, a := range addrs {
		ip := netip.MustParseAddr(a)
		head := dnsmessage.ResourceHeader{Name: name, Class: q.Class}
		switch {
		case ip.Is4() && q.Type == dnsmessage.TypeA:
			b.AResource(head, dnsmessage.AResource{A: ip.As4()})
		case ip.Is6() && q.Type == dnsmessage.TypeAAAA:
			b.AAAAResource(head, dnsmessage.AAAAResource{AAAA: ip.As16()})
		}
	}
	msg, err := b.Finish()
	if err != nil {
		t.Error(err)
	}
	return msg
}

// Addresses is a response of ServeDNS to all questions.
func Addresses(t testing.TB, addrs ...string) func([]byte, bool) [][]byte {
	return func(q []byte, _ bool) [][]byte { return [][]byte{Reply(t, q, dnsmessage.Header{}, false, addrs...)} }
}
