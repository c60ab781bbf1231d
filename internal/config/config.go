// Package config holds the settings of ksyun-tap. Flags, environment variables
// and the configuration file are read according to one table, in this order of
// precedence:
//
//	flag  >  environment (KSYUN_TAP_*)  >  file  >  default
//
// A key of the file is the name of a flag without its dashes, either as a whole
// ("proxy.listen-address: ...") or nested at the dots. Every error names the flag,
// the variable or the line of the file, and says what to write instead.
package config

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/alecthomas/kingpin/v2"

	"github.com/ksyun-tap/ksyun-tap/collector"
	"github.com/ksyun-tap/ksyun-tap/collector/upstream"
	"github.com/ksyun-tap/ksyun-tap/exporter/diagnosis"
	"github.com/ksyun-tap/ksyun-tap/exporter/web"
	"github.com/ksyun-tap/ksyun-tap/hostname"
	"github.com/ksyun-tap/ksyun-tap/internal/lookup"
	"github.com/ksyun-tap/ksyun-tap/usererror"
)

// Settings holds the values of all settings.
type Settings struct {
	ConfigFile string

	ProxyListen     []string
	ProxyTLSListen  []string
	Transparent     []string // listen addresses
	ProxyTimeouts   collector.Timeouts
	ShutdownTimeout time.Duration

	WebListen []string
	// AdminListen are the addresses of the failures, their API, reload and profiles.
	// If there are none, they are served at WebListen.
	AdminListen     []string
	EnableLifecycle bool
	EnablePprof     bool
	WebConfigFile   string
	// TraceURL and LogsURL are templates of links from a failure; zero for none.
	TraceURL, LogsURL web.OutLink

	TapHosts     hostname.Patterns
	OtherHosts   collector.OtherHosts
	InspectBytes int
	// MaxConnections and BufferLimit are 0 for the limits of the process.
	MaxConnections int
	BufferLimit    int64
	CatalogFiles   []string

	Intercept  bool
	CADir      string
	PublishDir string // "" means CADir; see TrustDir
	CSMListen  string

	Resign Resign

	CredentialKeyFile string // "" means a random key
	CredentialAliases []CredentialAlias
	QuotaLimits       []diagnosis.QuotaLimit // in addition to the documented ones

	ConnectTo      []upstream.ConnectTo
	UpstreamCAFile string
	UpstreamScheme string
	UpstreamMark   uint32       // 0 sets no mark
	Resolver       upstream.DNS // the zero value means the system's resolver

	LogLevel  string
	LogFormat string
	LogFile   string
	LogAccess bool

	TracesSuccessRatio float64
	JournalSize        int
	JournalPath        string        // "" keeps the journal in memory only
	JournalMaxBytes    int64         // 0 sets no limit
	JournalMaxAge      time.Duration // 0 sets no limit

	Evidence          bool
	EvidenceBodyBytes int
	EvidenceHeaders   []string // in addition to the default ones, as are EvidenceFields
	EvidenceFields    []string
	EvidenceMaxBytes  int64
	EvidenceMaxAge    time.Duration

	CheckInterval time.Duration // 0 means never
	CheckTarget   *url.URL

	Lookup Lookup

	// The sources of the values, and their text.
	given map[string]*bool  // whether the command line sets a flag
	fixed map[string]string // the verb that sets a value
	file  File
	texts map[string][]string
	// running is the settings of the running tap in which these were loaded, if any. Those
	// that need a restart are still in use.
	running *Settings
}

// Resign holds the settings of the re-signing address.
type Resign struct {
	Listen          []string
	Upstream        *url.URL
	Region, Service string
	CredentialsFile string // "" means the environment
	ClientKeyFile   string // "" means that programs' signatures are not verified
	CertFile        string
	KeyFile         string
	ClientCAFile    string
	Allow           []netip.Prefix
}

// Lookup holds the settings of the verb lookup.
type Lookup struct {
	DNS                                                        []lookup.Addresses
	Jaeger, JaegerV3, Tempo, Loki, VictoriaLogs, Elasticsearch []*url.URL
	JaegerServices                                             []string
	LokiSelector                                               string
	HTTPConfigFile                                             string // "" means that there are no credentials
}

// Defaults that other packages refer to.
const (
	DefaultProxyListen = "127.0.0.1:18181"
	DefaultWebListen   = "127.0.0.1:18180"
	DefaultTapHost     = "*.api.ksyun.com"
	DefaultCheckTarget = "http://monitor.api.ksyun.com"
	// EnvPrefix is the prefix of the environment variables of all settings.
	EnvPrefix = "KSYUN_TAP_"
)

// flagger adds flags: a kingpin application or command.
type flagger interface {
	Flag(name, help string) *kingpin.FlagClause
}

// Register adds a flag for each setting of the tap to to, except those in skip. The
// values in file replace the defaults.
func (s *Settings) Register(to flagger, file File, skip ...string) {
	s.ProxyTimeouts = collector.DefaultTimeouts()
	s.register(to, file, func(row *setting) bool { return !row.lookup && !slices.Contains(skip, row.name) })
}

// RegisterLookup adds a flag for each setting of the verb lookup to to, except those in
// skip, as Register does.
func (s *Settings) RegisterLookup(to flagger, file File, skip ...string) {
	s.register(to, file, func(row *setting) bool {
		return (row.lookup || row.name == "config.file") && !slices.Contains(skip, row.name)
	})
}

func (s *Settings) register(to flagger, file File, wants func(*setting) bool) {
	s.file = file
	if s.texts == nil {
		s.texts, s.given, s.fixed = map[string][]string{}, map[string]*bool{}, map[string]string{}
	}
	for _, row := range s.table() {
		if !wants(&row) {
			continue
		}
		f := to.Flag(row.name, row.help).Envar(envName(row.name))
		if values, ok := file.values[row.name]; ok {
			f.Default(values...)
		} else if row.fallback != "" {
			f.Default(row.fallback)
		}
		if row.placeholder != "" {
			f.PlaceHolder(row.placeholder)
		}
		if s.given[row.name] == nil {
			s.given[row.name] = new(bool)
		}
		f.IsSetByUser(s.given[row.name])
		f.SetValue(&sourced{Value: row.value, name: row.name, s: s, redact: row.lookup})
	}
}

// envName returns the name of a setting's environment variable.
func envName(name string) string {
	return EnvPrefix + strings.ToUpper(strings.NewReplacer(".", "_", "-", "_").Replace(name))
}

// Validate checks combinations of settings.
func (s *Settings) Validate() error {
	if s.OtherHosts != collector.OtherRefuse {
		for _, a := range slices.Concat(s.ProxyListen, s.ProxyTLSListen) {
			if !isLoopback(a) {
				return usererror.New(fmt.Sprintf("--tap.other-hosts=%s with --proxy.listen-address=%s would be an open proxy", s.OtherHosts, a), "listen on 127.0.0.1, or refuse other hosts")
			}
		}
	}
	if s.Intercept && s.CADir == "" {
		return usererror.New("--intercept needs --intercept.ca-dir", "name a directory, where programs find the CA to trust")
	}
	if s.PublishDir != "" && s.CADir == "" {
		return usererror.New("--intercept.publish-dir needs --intercept.ca-dir", "name a directory, where the key is kept")
	}
	if s.PublishDir != "" && contains(s.CADir, s.PublishDir) {
		return usererror.New(fmt.Sprintf("--intercept.publish-dir=%s is in --intercept.ca-dir, which other users cannot read", s.PublishDir), "choose another directory")
	}
	if len(s.ProxyTLSListen) > 0 && !s.Intercept {
		return usererror.New("--proxy.tls-listen-address needs --intercept, without which there is no certificate to serve", "set --intercept and --intercept.ca-dir")
	}
	if len(s.Transparent) > 0 && !collector.TransparentSupported {
		return usererror.New("--transparent.listen-address needs Linux", "use a proxy variable or ksyun-tap exec instead")
	}
	if len(s.AdminListen) == 0 && s.WebConfigFile == "" {
		for _, a := range s.WebListen {
			if !isLoopback(a) {
				return usererror.New(fmt.Sprintf("--web.listen-address=%s would let anyone read the failures", a), "serve them elsewhere with --web.admin-listen-address=127.0.0.1:18184, require a password with --web.config.file, or set --web.admin-listen-address="+a+" if only you can reach it")
			}
		}
	}
	for _, a := range s.ProxyListen {
		if slices.Contains(s.WebListen, a) && !strings.HasSuffix(a, ":0") {
			return usererror.New("--proxy.listen-address and --web.listen-address are both "+a, "give each an address of its own")
		}
	}
	if err := s.validateAliases(); err != nil {
		return err
	}
	return s.Resign.validate()
}

// validate makes sure that an address which others can reach does not let them
// use the credentials.
func (r *Resign) validate() error {
	if len(r.Listen) == 0 {
		return nil
	}
	switch {
	case (r.CertFile == "") != (r.KeyFile == ""):
		return usererror.New("--resign.cert-file and --resign.key-file belong together", "give both or neither")
	case r.ClientCAFile != "" && r.CertFile == "":
		return usererror.New("--resign.client-ca-file needs TLS", "set --resign.cert-file and --resign.key-file, too")
	case r.ClientCAFile != "" || len(r.Allow) > 0:
		return nil
	}
	for _, a := range r.Listen {
		if !isLoopback(a) {
			return usererror.New(fmt.Sprintf("--resign.listen-address=%s would let anyone use the credentials", a), "listen on 127.0.0.1, require certificates with --resign.client-ca-file, or restrict networks with --resign.allow")
		}
	}
	return nil
}

// TrustDir returns the directory of ca.pem and bundle.pem.
func (s *Settings) TrustDir() string {
	if s.PublishDir != "" {
		return s.PublishDir
	}
	return s.CADir
}

// contains reports whether path is dir or below it.
func contains(dir, path string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator))
}

func isLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// Description describes a setting for the reference documentation.
type Description struct {
	Name    string // name of the flag, without dashes, and of the key in the file
	Env     string
	Default string // "" if there is none
	Help    string
	Reloads bool // a reload applies a new value
	Lookup  bool // a setting of the verb lookup and not of the tap
}

// Describe returns the descriptions of all settings.
func Describe() []Description {
	var all []Description
	for _, row := range new(Settings).table() {
		all = append(all, Description{row.name, envName(row.name), row.fallback, row.help, row.reload != nil, row.lookup})
	}
	return all
}

// HTTPClients reads --lookup.http-config.file and returns the clients for what lookup
// queries.
func (l *Lookup) HTTPClients() (lookup.Clients, error) {
	if l.HTTPConfigFile == "" {
		return lookup.Clients{}, nil
	}
	data, err := readSecret("lookup.http-config.file", l.HTTPConfigFile)
	if err != nil {
		return lookup.Clients{}, err
	}
	clients, err := lookup.ParseClients(l.HTTPConfigFile, data)
	return clients, usererror.At("--lookup.http-config.file", err)
}

// Taps reports whether the calls of a host are observed.
func (s *Settings) Taps(host hostname.Name) bool { return s.TapHosts.Match(host) }
