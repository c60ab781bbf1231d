package main

import (
	"net"
	"net/url"
	"slices"
	"strconv"

	"golang.org/x/net/http/httpproxy"
)

// upstreamProxy finds the proxy that the environment names for a host
// (HTTP_PROXY, HTTPS_PROXY, NO_PROXY), as any other program would. One that is
// the tap itself is none: the variables may well be those of the programs.
func upstreamProxy(own []string) func(scheme, host string, port uint16) (*url.URL, error) {
	find := httpproxy.FromEnvironment().ProxyFunc()
	return func(scheme, host string, port uint16) (*url.URL, error) {
		u, err := find(&url.URL{Scheme: scheme, Host: net.JoinHostPort(host, strconv.Itoa(int(port)))})
		if err != nil || u == nil || slices.ContainsFunc(own, func(address string) bool { return samePlace(address, u) }) {
			return nil, err
		}
		return u, nil
	}
}

// samePlace reports whether a proxy's URL leads to a listen address on this
// host's loopback, however it is spelled.
func samePlace(address string, proxy *url.URL) bool {
	host, port, err := net.SplitHostPort(address)
	if err != nil || port != proxy.Port() {
		return false
	}
	ip := net.ParseIP(proxy.Hostname())
	local := proxy.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
	return host == proxy.Hostname() || local
}
