package otlp

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/net/proxy"
)

const dialTimeout = 30 * time.Second

// transport returns the connections for OTLP over HTTP.
func (s *Signal) transport(find ProxyFunc) *http.Transport {
	return &http.Transport{
		Proxy:                 find,
		DialContext:           (&net.Dialer{Timeout: dialTimeout}).DialContext,
		TLSClientConfig:       s.TLS,
		ForceAttemptHTTP2:     true,
		MaxIdleConns:          2,
		IdleConnTimeout:       90 * time.Second,
		TLSHandshakeTimeout:   10 * time.Second,
		ExpectContinueTimeout: time.Second,
	}
}

// grpcTransport returns the connections for gRPC, and the URL of the method. The target is
// HOST:PORT, or unix:PATH or dns://SERVER/HOST:PORT as gRPC has them.
func (s *Signal) grpcTransport(find ProxyFunc) (*http.Transport, string) {
	t := s.transport(find)
	t.DisableCompression = true // of the response
	t.Protocols = new(http.Protocols)
	host, d := s.Target, &net.Dialer{Timeout: dialTimeout}
	if u, err := url.Parse(s.Target); err == nil && u.Scheme == "dns" {
		host = strings.Trim(u.Path+u.Opaque, "/")
		if _, _, err := net.SplitHostPort(host); err != nil {
			host = net.JoinHostPort(host, "443")
		}
		if u.Host != "" {
			d.Resolver = resolverAt(u)
		}
	} else if err == nil && u.Scheme == "unix" {
		host = "localhost"
		t.Proxy = nil
		t.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return d.DialContext(ctx, "unix", u.Path+u.Opaque)
		}
	}
	if !s.Insecure {
		t.Protocols.SetHTTP2(true)
		t.DialContext = d.DialContext
		return t, "https://" + host + methods[s.path]
	}
	t.Protocols.SetUnencryptedHTTP2(true)
	if t.Proxy != nil { // it would get the requests themselves
		t.Proxy = nil
		t.DialContext = tunnel{d, find}.dial
	}
	return t, "http://" + host + methods[s.path]
}

// resolverAt returns a resolver that asks the DNS server in u.
func resolverAt(u *url.URL) *net.Resolver {
	server := u.Host
	if u.Port() == "" {
		server = net.JoinHostPort(u.Hostname(), "53")
	}
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{Timeout: dialTimeout}).DialContext(ctx, network, server)
	}}
}

// tunnel dials through the proxies that find returns.
type tunnel struct {
	*net.Dialer
	find ProxyFunc
}

// dial dials an address, which the proxy resolves if there is one.
func (t tunnel) dial(ctx context.Context, network, address string) (net.Conn, error) {
	via, err := t.find(&http.Request{URL: &url.URL{Scheme: "https", Host: address}})
	switch {
	case err != nil:
		return nil, err
	case via == nil:
		return t.DialContext(ctx, network, address)
	case strings.HasPrefix(via.Scheme, "socks5"):
		d, err := proxy.FromURL(via, t.Dialer)
		if err != nil {
			return nil, errors.New("the SOCKS proxy cannot be used")
		}
		return d.(proxy.ContextDialer).DialContext(ctx, network, address)
	}
	port := via.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[via.Scheme]
	}
	conn, err := t.DialContext(ctx, network, net.JoinHostPort(via.Hostname(), port))
	if err != nil {
		return nil, err
	}
	if via.Scheme == "https" {
		conn = tls.Client(conn, &tls.Config{ServerName: via.Hostname(), MinVersion: tls.VersionTLS12})
	}
	tunnelled, err := connect(ctx, conn, via.User, address)
	if err != nil {
		conn.Close()
	}
	return tunnelled, err
}

// connect asks the HTTP proxy at the other end of conn for a connection to an address.
func connect(ctx context.Context, conn net.Conn, user *url.Userinfo, address string) (net.Conn, error) {
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
	r := &http.Request{Method: http.MethodConnect, URL: &url.URL{Opaque: address}, Host: address, Header: http.Header{}}
	if user != nil {
		password, _ := user.Password()
		r.Header.Set("Proxy-Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(user.Username()+":"+password)))
	}
	if err := r.Write(conn); err != nil {
		return nil, err
	}
	buffered := bufio.NewReader(conn)
	resp, err := http.ReadResponse(buffered, r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close() // it has none
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the proxy responded %s", resp.Status)
	}
	return readConn{conn, buffered}, nil
}

// readConn is a connection with bytes that have been read already.
type readConn struct {
	net.Conn
	buffered *bufio.Reader
}

// Read implements net.Conn.
func (c readConn) Read(p []byte) (int, error) { return c.buffered.Read(p) }
