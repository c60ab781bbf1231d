package collector

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// Resolver finds the addresses of a host; *net.Resolver and DNS are some. It
// is used by many goroutines at once. Its errors should be *net.DNSError.
type Resolver interface {
	// LookupNetIP returns all addresses of host; network is "ip".
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// DNS asks one DNS server, and nothing else: neither the hosts file, which
// net.Resolver always reads first, nor search domains. The zero value is not
// usable; see ParseDNS.
type DNS struct{ server netip.AddrPort }

// ParseDNS reads "IP" or "IP:PORT"; IPv6 addresses with a port stand in
// brackets. The port is 53 where none is given.
func ParseDNS(s string) (DNS, error) {
	if ip, err := netip.ParseAddr(s); err == nil {
		return DNS{netip.AddrPortFrom(ip, 53)}, nil
	}
	at, err := netip.ParseAddrPort(s)
	if err != nil || at.Port() == 0 {
		return DNS{}, fmt.Errorf("DNS server %q: want IP or IP:PORT, as in 10.96.0.10 or [fd00::a]:53", s)
	}
	return DNS{at}, nil
}

// String spells d as ParseDNS reads it.
func (d DNS) String() string { return d.server.String() }

// The patience with a DNS server: over UDP, questions and answers get lost.
const (
	dnsTries = 3
	dnsWait  = 2 * time.Second
	dnsSize  = 1232 // of an answer over UDP that is not cut to pieces on the way
)

var (
	errDNSAnswer  = errors.New("the answer is malformed, or to another question")
	errNoSuchHost = errors.New("no such host")
)

// LookupNetIP implements Resolver. IPv4 addresses come first.
func (d DNS) LookupNetIP(ctx context.Context, _, host string) ([]netip.Addr, error) {
	name, err := dnsmessage.NewName(strings.TrimSuffix(host, ".") + ".")
	if err != nil {
		return nil, d.failed(host, err)
	}
	type result struct {
		addrs []netip.Addr
		err   error
	}
	v6 := make(chan result, 1)
	go func() {
		addrs, err := d.lookUp(ctx, name, dnsmessage.TypeAAAA)
		v6 <- result{addrs, err}
	}()
	addrs, err := d.lookUp(ctx, name, dnsmessage.TypeA)
	more := <-v6
	if addrs = append(addrs, more.addrs...); len(addrs) == 0 {
		return nil, d.failed(host, cmp.Or(err, more.err, errNoSuchHost))
	}
	return addrs, nil
}

func (d DNS) failed(host string, err error) error {
	timeout := false
	if ne, ok := errors.AsType[net.Error](err); ok {
		timeout = ne.Timeout()
	}
	return &net.DNSError{
		UnwrapErr: err, Err: err.Error(), Name: host, Server: d.String(),
		IsTimeout: timeout, IsNotFound: errors.Is(err, errNoSuchHost),
	}
}

// lookUp returns the addresses of one family.
func (d DNS) lookUp(ctx context.Context, name dnsmessage.Name, kind dnsmessage.Type) (addrs []netip.Addr, err error) {
	for range dnsTries {
		var truncated bool
		if addrs, truncated, err = d.ask(ctx, "udp", name, kind); truncated {
			addrs, _, err = d.ask(ctx, "tcp", name, kind)
		}
		if err == nil || errors.Is(err, errNoSuchHost) || ctx.Err() != nil {
			break
		}
	}
	return addrs, err
}

// ask sends one question and reads its answer.
func (d DNS) ask(ctx context.Context, network string, name dnsmessage.Name, kind dnsmessage.Type) (addrs []netip.Addr, truncated bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, dnsWait)
	defer cancel()
	nc, err := new(net.Dialer).DialContext(ctx, network, d.server.String())
	if err != nil {
		return nil, false, err
	}
	defer nc.Close()
	stop := context.AfterFunc(ctx, func() {
		nc.SetDeadline(time.Unix(1, 0)) //nolint:errcheck // a closed connection ends its reads anyway
	})
	defer stop()

	id := uint16(rand.Uint32()) //nolint:gosec // the socket's port is random too, and TLS verifies the upstream
	question, err := dnsQuestion(id, name, kind)
	if err != nil {
		return nil, false, err
	}
	answer := make([]byte, dnsSize)
	if network == "tcp" {
		answer, err = exchangeTCP(nc, question)
	} else {
		answer, err = exchangeUDP(nc, question, answer, id)
	}
	if err != nil {
		return nil, false, err
	}
	return dnsAddresses(answer, id, name, kind)
}

func exchangeUDP(nc net.Conn, question, answer []byte, id uint16) ([]byte, error) {
	if _, err := nc.Write(question); err != nil {
		return nil, err
	}
	for {
		n, err := nc.Read(answer)
		if err != nil {
			return nil, err
		}
		if n >= 2 && binary.BigEndian.Uint16(answer) == id { // else it is late, or forged
			return answer[:n], nil
		}
	}
}

func exchangeTCP(nc net.Conn, question []byte) ([]byte, error) {
	framed := binary.BigEndian.AppendUint16(nil, uint16(len(question))) //nolint:gosec // a name has 255 bytes at most
	if _, err := nc.Write(append(framed, question...)); err != nil {
		return nil, err
	}
	var size [2]byte
	if _, err := io.ReadFull(nc, size[:]); err != nil {
		return nil, err
	}
	answer := make([]byte, binary.BigEndian.Uint16(size[:]))
	_, err := io.ReadFull(nc, answer)
	return answer, err
}

func dnsQuestion(id uint16, name dnsmessage.Name, kind dnsmessage.Type) ([]byte, error) {
	b := dnsmessage.NewBuilder(nil, dnsmessage.Header{ID: id, RecursionDesired: true})
	var size dnsmessage.ResourceHeader
	err := errors.Join(
		b.StartQuestions(),
		b.Question(dnsmessage.Question{Name: name, Type: kind, Class: dnsmessage.ClassINET}),
		b.StartAdditionals(),
		size.SetEDNS0(dnsSize, dnsmessage.RCodeSuccess, false),
		b.OPTResource(size, dnsmessage.OPTResource{}),
	)
	if err != nil {
		return nil, err
	}
	return b.Finish()
}

// dnsAddresses reads an answer. Names on the way to the addresses (CNAME) are
// the server's business.
func dnsAddresses(b []byte, id uint16, name dnsmessage.Name, kind dnsmessage.Type) (addrs []netip.Addr, truncated bool, err error) {
	var p dnsmessage.Parser
	h, err := p.Start(b)
	if err != nil || h.ID != id || !h.Response {
		return nil, false, errDNSAnswer
	}
	q, err := p.Question()
	if err != nil || q.Type != kind || q.Class != dnsmessage.ClassINET || !strings.EqualFold(q.Name.String(), name.String()) {
		return nil, false, errDNSAnswer
	}
	switch {
	case h.RCode == dnsmessage.RCodeNameError:
		return nil, false, errNoSuchHost
	case h.RCode != dnsmessage.RCodeSuccess:
		return nil, false, fmt.Errorf("the DNS server answers %v", h.RCode)
	case h.Truncated:
		return nil, true, errDNSAnswer
	}
	if err := p.SkipAllQuestions(); err != nil {
		return nil, false, errDNSAnswer
	}
	for {
		h, err := p.AnswerHeader()
		switch {
		case errors.Is(err, dnsmessage.ErrSectionDone):
			return addrs, false, nil
		case err != nil:
			return nil, false, errDNSAnswer
		}
		var addr netip.Addr
		switch {
		case h.Type == kind && kind == dnsmessage.TypeA:
			var r dnsmessage.AResource
			r, err = p.AResource()
			addr = netip.AddrFrom4(r.A)
		case h.Type == kind:
			var r dnsmessage.AAAAResource
			r, err = p.AAAAResource()
			addr = netip.AddrFrom16(r.AAAA)
		default:
			err = p.SkipAnswer()
		}
		if err != nil {
			return nil, false, errDNSAnswer
		}
		if addr.IsValid() {
			addrs = append(addrs, addr)
		}
	}
}

// dialBy connects to address, whose host r finds; nil is nd's own way. The
// addresses found are tried one after the other.
func dialBy(ctx context.Context, nd *net.Dialer, r Resolver, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	if _, err := netip.ParseAddr(host); err == nil || r == nil {
		return nd.DialContext(ctx, "tcp", address)
	}
	if nd.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, nd.Timeout)
		defer cancel()
	}
	addrs, err := r.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, err
	}
	var first error
	for i, a := range addrs {
		nc, err := dialOne(ctx, nd, net.JoinHostPort(a.String(), port), len(addrs)-i)
		if err == nil {
			return nc, nil
		}
		first = cmp.Or(first, err)
	}
	return nil, cmp.Or(first, error(&net.DNSError{Err: errNoSuchHost.Error(), Name: host, IsNotFound: true}))
}

// dialOne gives one address its share of the time that is left for so many.
func dialOne(ctx context.Context, nd *net.Dialer, address string, left int) (net.Conn, error) {
	if by, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Until(by)/time.Duration(left))
		defer cancel()
	}
	return nd.DialContext(ctx, "tcp", address)
}
