package lookup

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"regexp"

	promconfig "github.com/prometheus/common/config"
	"go.yaml.in/yaml/v3"

	"github.com/ksyun-tap/ksyun-tap/usererror"
)

// Clients makes HTTP clients with the credentials and the TLS settings for each host.
// The zero value has none.
type Clients struct {
	hosts map[string]promconfig.HTTPClientConfig
}

// quoted matches the values that errors of the YAML decoder quote.
var quoted = regexp.MustCompile("(?s)(!![a-z]+ )?`.*`")

// ParseClients parses a file with an HTTP client configuration in Prometheus' format
// for each host:
//
//	HOST or HOST:PORT:
//	  basic_auth: ...
//	  authorization: ...
//	  http_headers: ...
//	  tls_config: ...
//
// Names of files in it are relative to the directory of the file called name. Errors
// do not quote secrets.
func ParseClients(name string, data []byte) (Clients, error) {
	var hosts map[string]promconfig.HTTPClientConfig
	dec := yaml.NewDecoder(bytes.NewReader(data))
	dec.KnownFields(true)
	if err := dec.Decode(&hosts); err != nil && !errors.Is(err, io.EOF) {
		return Clients{}, usererror.At(name, usererror.New(quoted.ReplaceAllString(err.Error(), "a value"), "write HOST: or HOST:PORT: and below it an HTTP client configuration of Prometheus, such as basic_auth, authorization, http_headers or tls_config"))
	}
	for host, cfg := range hosts {
		cfg.SetDirectory(filepath.Dir(name))
		hosts[host] = cfg
		if _, err := newClient(cfg); err != nil {
			return Clients{}, usererror.At(name, fmt.Errorf("%s: %w", host, err))
		}
	}
	return Clients{hosts}, nil
}

// For returns a client for requests to u. The configuration of HOST:PORT has
// precedence over that of HOST.
func (c Clients) For(u *url.URL) (*http.Client, error) { return newClient(c.config(u)) }

// at is For for addresses that the name in u resolves to. Certificates are verified
// for the name.
func (c Clients) at(u *url.URL) (*http.Client, error) {
	cfg := c.config(u)
	cfg.TLSConfig.ServerName = cmp.Or(cfg.TLSConfig.ServerName, u.Hostname())
	return newClient(cfg)
}

func (c Clients) config(u *url.URL) promconfig.HTTPClientConfig {
	for _, host := range []string{u.Host, u.Hostname()} {
		if cfg, ok := c.hosts[host]; ok {
			return cfg
		}
	}
	return promconfig.DefaultHTTPClientConfig
}

// newClient returns a client that follows no redirects, because they would send the
// credentials to other hosts, and that uses no proxy unless it is configured, because
// the one in the environment is often the tap.
func newClient(cfg promconfig.HTTPClientConfig) (*http.Client, error) {
	cfg.FollowRedirects = false
	return promconfig.NewClientFromConfig(cfg, "lookup", promconfig.WithHTTP2Disabled(), promconfig.WithKeepAlivesDisabled())
}
