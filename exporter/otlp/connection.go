package otlp

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/net/proxy"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
)

// ProxyFunc returns the proxy for a request, or nil for a direct connection.
type ProxyFunc = func(*http.Request) (*url.URL, error)

// Sender returns a client for OTLP over HTTP, the URL to send to, and whether
// requests are to be compressed. With the protocol gRPC, the client sends the
// messages by gRPC, and the URL only names the signal. If find is nil, the proxy is
// taken from the environment. The caller closes the idle connections of the client
// at the end.
func (s *Signal) Sender(find ProxyFunc) (client *http.Client, url string, compress bool, err error) {
	if s.Protocol != ProtocolGRPC {
		return s.client(find), s.Endpoint.String(), s.Gzip, nil
	}
	transport, err := newOverGRPC(s, find)
	if err != nil {
		return nil, "", false, err
	}
	return &http.Client{Timeout: s.Timeout, Transport: transport}, "http://grpc/" + s.path, false, nil
}

// client returns a client for OTLP over HTTP. See Sender.
func (s *Signal) client(find ProxyFunc) *http.Client {
	if find == nil {
		find = http.ProxyFromEnvironment
	}
	return &http.Client{Timeout: s.Timeout, Transport: &http.Transport{
		Proxy:                 find,
		DialContext:           (&net.Dialer{Timeout: 30 * time.Second}).DialContext,
		TLSClientConfig:       s.TLS,
		ForceAttemptHTTP2:     true,
		MaxIdleConns:          2,
		IdleConnTimeout:       90 * time.Second,
		TLSHandshakeTimeout:   10 * time.Second,
		ExpectContinueTimeout: time.Second,
	}}
}

// credentials returns the credentials of gRPC connections for s.
func (s *Signal) credentials() credentials.TransportCredentials {
	if s.Insecure {
		return insecure.NewCredentials()
	}
	return credentials.NewTLS(s.TLS.Clone())
}

// dialOption makes gRPC connect through the proxy returned by find, or, if find is
// nil, as it does by default. gRPC's own reading of the environment supports HTTP
// proxies only and could select the tap.
func (s *Signal) dialOption(find ProxyFunc) grpc.DialOption {
	if find == nil {
		return grpc.EmptyDialOption{}
	}
	req := &http.Request{URL: &url.URL{Scheme: "https", Host: s.Target}}
	u, err := find(req)
	own, ownErr := http.ProxyFromEnvironment(req) // the proxy gRPC would use
	switch {
	case err != nil || u == nil:
		return grpc.WithNoProxy()
	case strings.HasPrefix(u.Scheme, "socks5"):
		return grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
			d, err := proxy.FromURL(u, proxy.Direct)
			if err != nil {
				return nil, errors.New("the SOCKS proxy cannot be used")
			}
			return d.(proxy.ContextDialer).DialContext(ctx, "tcp", address)
		})
	case ownErr != nil || own == nil || own.Host != u.Host:
		return grpc.WithNoProxy()
	}
	return grpc.EmptyDialOption{}
}
