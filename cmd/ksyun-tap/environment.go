package main

import (
	"errors"
	"os"
	"syscall"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/collector"
	"github.com/ksyun-tap/ksyun-tap/collector/upstream"
	"github.com/ksyun-tap/ksyun-tap/internal/config"
	"github.com/ksyun-tap/ksyun-tap/internal/proxyenv"
	"github.com/ksyun-tap/ksyun-tap/internal/trust"
	"github.com/ksyun-tap/ksyun-tap/usererror"
)

// environmentProblems returns the variables that are ignored, except those for
// proxies and OpenTelemetry.
func environmentProblems() (all []usererror.Ignored) {
	for _, e := range config.UnknownVariables(os.Environ()) {
		all = append(all, usererror.Ignored{Variable: e.Where, Reason: e.What + ": " + e.Hint})
	}
	return append(all, trust.Ignored()...)
}

// resolve converts the settings to a policy and a classifier.
func resolve(s *config.Settings, out *proxyenv.Proxies) (collector.Policy, *classify.Classifier, error) {
	if err := s.Validate(); err != nil {
		return collector.Policy{}, nil, err
	}
	catalog, err := loadCatalog(s.CatalogFiles)
	if err != nil {
		return collector.Policy{}, nil, err
	}
	roots, err := trust.Roots("upstream.ca-file", s.UpstreamCAFile)
	if err != nil {
		return collector.Policy{}, nil, err
	}
	// These are read periodically.
	if err := config.CheckRereadable("name a regular file", s.WebConfigFile, s.Resign.CredentialsFile, s.Resign.ClientKeyFile); err != nil {
		return collector.Policy{}, nil, err
	}
	policy := collector.Policy{
		TapHosts: s.TapHosts, OtherHosts: s.OtherHosts, ConnectTo: s.ConnectTo, RootCAs: roots,
		Mark:  s.UpstreamMark,
		Proxy: out.ForHost,
	}
	if s.UpstreamScheme == "https" {
		policy.UpstreamScheme = "https"
	}
	if s.Resolver != (upstream.DNS{}) {
		policy.Resolver = s.Resolver
	}
	return policy, classify.New(catalog), nil
}

// listenError adds the setting and a hint to an error of listening on an address.
func listenError(setting, address string, err error) error {
	advice := "choose another address"
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		advice = "choose another address, or stop the process that uses it"
	case errors.Is(err, syscall.EACCES):
		advice = "choose a port from 1024, or allow lower ports: CAP_NET_BIND_SERVICE (AmbientCapabilities= in systemd, securityContext.capabilities.add: [NET_BIND_SERVICE] in Kubernetes), or sysctl net.ipv4.ip_unprivileged_port_start"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		advice = "choose an address that this machine has"
	}
	return usererror.At("--"+setting+"="+address, usererror.Wrap(err, advice))
}
