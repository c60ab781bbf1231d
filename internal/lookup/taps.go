package lookup

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/ksyun-tap/ksyun-tap/exporter/record"
	"github.com/ksyun-tap/ksyun-tap/usererror"
)

// tap is the journal of a tap.
type tap struct{ endpoint }

// NewTap returns the tap whose web listener has the URL.
func NewTap(base *url.URL, clients Clients) (Named, error) {
	return named("", base, clients, func(e endpoint) Source { return tap{e} })
}

// Find implements Source.
func (t tap) Find(ctx context.Context, q *Query) (Response, error) {
	status, body, err := t.exchange(ctx, http.MethodGet, "/api/v1/failures/"+url.PathEscape(q.ID), nil, "", nil)
	if err != nil {
		return Response{}, err
	}
	return readTap(status, body, q)
}

// readTap reads the response of a tap.
func readTap(status int, body []byte, q *Query) (a Response, err error) {
	var response struct {
		Status    string `json:"status"`
		ErrorType string `json:"errorType"`
		Data      struct {
			Failures []*record.Record `json:"failures"`
		} `json:"data"`
	}
	err = decode(body, &response)
	switch {
	case err == nil && status == http.StatusNotFound && response.ErrorType == "not_found":
		return a, nil
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return a, statusError{status: status}
	case err != nil || response.Status != "success" || status != http.StatusOK:
		return a, fmt.Errorf("does not respond like a tap (HTTP status %d)", status)
	}
	for _, r := range response.Data.Failures {
		if r != nil && q.selects(r) {
			a.Found = append(a.Found, Found{Record: r})
		}
	}
	return a, nil
}

// Addresses is a DNS name with the addresses of taps, such as a headless Service, and
// the port of their web listeners.
type Addresses struct{ URL *url.URL } // scheme, host and port

// ParseAddresses parses HOST:PORT or https://HOST:PORT.
func ParseAddresses(text string) (Addresses, error) {
	if !strings.Contains(text, "://") {
		text = "http://" + text
	}
	u, err := ParseURL(text)
	if err != nil || u.Port() == "" || strings.Trim(u.Path, "/") != "" {
		return Addresses{}, usererror.New(shown(text)+" is not a DNS name with a port", "write HOST:PORT, or https://HOST:PORT if the taps serve TLS")
	}
	return Addresses{u}, nil
}

// maxAtOnce is the maximum number of taps behind a name that are asked at the same time.
const maxAtOnce = 256

// taps is all taps behind a DNS name.
type taps struct {
	Addresses
	clients  Clients
	resolver resolver
}

// resolver is the part of net.Resolver that is used.
type resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// NewTaps returns all taps behind a DNS name as one source.
func NewTaps(a Addresses, clients Clients) (Named, error) {
	_, err := clients.For(a.URL)
	return Named{withoutUser(a.URL), taps{a, clients, net.DefaultResolver}}, err
}

// Find implements Source.
func (t taps) Find(ctx context.Context, q *Query) (Response, error) {
	all, err := t.resolver.LookupNetIP(ctx, "ip", t.URL.Hostname())
	if err != nil {
		if dns, ok := errors.AsType[*net.DNSError](err); ok {
			err = errors.New("name resolution: " + dns.Err)
		}
		return Response{}, err
	}
	if len(all) == 0 {
		return Response{}, errors.New("name resolution: no addresses")
	}
	client, err := t.clients.at(t.URL)
	if err != nil {
		return Response{}, err
	}
	responses := make([]Result, len(all))
	var group errgroup.Group
	group.SetLimit(maxAtOnce)
	for i, ip := range all {
		base := *t.URL
		base.Host = net.JoinHostPort(ip.Unmap().String(), t.URL.Port())
		group.Go(func() error {
			a, err := tap{endpoint{&base, client}}.Find(ctx, q)
			responses[i] = Result{withoutUser(&base), a, err}
			return nil
		})
	}
	_ = group.Wait() // always nil
	var a Response
	for _, one := range responses {
		if one.Err != nil {
			a.Missing = append(a.Missing, Missing{one.Name, one.Err})
		}
		for _, f := range one.Found {
			f.Sources = []string{one.Name}
			a.Found = append(a.Found, f)
		}
	}
	if len(a.Missing) == len(all) {
		return Response{}, fmt.Errorf("none of %d addresses answers; %s: %w", len(all), a.Missing[0].Name, a.Missing[0].Err)
	}
	return a, nil
}
