package collector

import (
	"errors"
	"fmt"
	"slices"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/collector/relay"
	"github.com/ksyun-tap/ksyun-tap/collector/upstream"
	"github.com/ksyun-tap/ksyun-tap/hostname"
)

// rules are a policy and a classifier, prepared for use. They are immutable: an
// exchange keeps those that it began with.
type rules struct {
	policy     Policy
	classifier *classify.Classifier
	dialer     *upstream.Dialer
	epoch      uint64
}

// newRules checks a policy and prepares it. The dialer takes from cfg what does not
// depend on the policy.
func newRules(policy Policy, classifier *classify.Classifier, cfg upstream.Config) (*rules, error) {
	if classifier == nil {
		return nil, errors.New("collector: no classifier")
	}
	switch policy.UpstreamScheme {
	case "", "http", "https":
	default:
		return nil, fmt.Errorf("collector: upstream scheme %q is neither http nor https", policy.UpstreamScheme)
	}
	policy.TapHosts = slices.Clone(policy.TapHosts)
	if len(policy.TapHosts) == 0 {
		policy.TapHosts = classify.APIHosts()
	}
	cfg.ConnectTo, cfg.Proxy, cfg.Mark, cfg.RootCAs = policy.ConnectTo, policy.Proxy, policy.Mark, policy.RootCAs
	cfg.Resolver, cfg.Resolves = policy.Resolver, policy.TapHosts.Match
	cfg.AnyAddress = policy.OtherHosts == OtherPass
	return &rules{policy: policy, classifier: classifier, dialer: upstream.NewDialer(cfg)}, nil
}

// taps reports whether the calls of a host are observed.
func (r *rules) taps(host hostname.Name) bool { return r.policy.TapHosts.Match(host) }

// destination is where requests with one authority are sent.
type destination struct {
	upstream.Target

	tapped  bool
	blind   bool           // a tunnel to a tapped host
	proxied *relay.Proxied // set for requests sent to an upstream proxy in plain HTTP
}

func (d *destination) scheme() string {
	if d.TLS {
		return "https"
	}
	return "http"
}

// authority returns the authority of https requests to d. The default port is left
// out, as in the Host field that most programs send.
func (d *destination) authority() []byte {
	if d.Port == 443 {
		return []byte(d.Host)
	}
	return []byte(d.Host.WithPort(d.Port))
}

// route returns the relay's route to d.
func (r *rules) route(d *destination) relay.Route {
	return relay.Route{Proxied: d.proxied, Key: relay.Key{
		Host: string(d.Host), Port: d.Port, TLS: d.TLS, Epoch: r.epoch, Forwarding: d.proxied != nil, Address: d.Address,
	}}
}

// destination returns where a request for authority is sent. https reports whether
// the program asked for https.
func (r *rules) destination(authority []byte, https bool) (destination, error) {
	host, port := hostname.Of(authority)
	if host == "" {
		return destination{}, errNoRoute
	}
	d := destination{Target: upstream.Target{Host: host, Port: port, TLS: https}, tapped: r.taps(host)}
	switch {
	case port != 0:
	case https:
		d.Port = 443
	default:
		d.Port = 80
	}
	switch {
	case d.tapped:
		if !https && r.policy.UpstreamScheme == "https" {
			d.TLS = true
			if d.Port == 80 {
				d.Port = 443
			}
		}
	case r.policy.OtherHosts == OtherRefuse:
		return destination{Target: upstream.Target{Host: host}}, refuseHost(host)
	case r.policy.OtherHosts == OtherForward && d.Port != 80 && d.Port != 443:
		return destination{Target: upstream.Target{Host: host}}, refusePort(host)
	}
	var err error
	if d.Proxy, err = r.dialer.ProxyFor(&d.Target); err != nil {
		return d, err
	}
	if d.Proxy != nil && !d.TLS && d.Proxy.ForwardsHTTP() {
		origin := "http://" + d.Host.InURL()
		if d.Port != 80 {
			origin = "http://" + d.Host.WithPort(d.Port)
		}
		d.proxied = &relay.Proxied{Origin: origin, Authorization: d.Proxy.Authorization()}
	}
	return d, nil
}
