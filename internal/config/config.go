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
	"github.com/ksyun-tap/ksyun-tap/collector/csm"
	"github.com/ksyun-tap/ksyun-tap/collector/upstream"
	"github.com/ksyun-tap/ksyun-tap/exporter/diagnosis"
	"github.com/ksyun-tap/ksyun-tap/exporter/logs"
	"github.com/ksyun-tap/ksyun-tap/hostname"
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

	CheckInterval time.Duration // 0 means never
	CheckTarget   *url.URL

	// The sources of the values, and their text.
	given []string
	file  File
	texts map[string][]string
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

// Defaults that other packages refer to.
const (
	DefaultProxyListen = "127.0.0.1:18181"
	DefaultWebListen   = "127.0.0.1:18180"
	DefaultTapHost     = "*.api.ksyun.com"
	DefaultCheckTarget = "http://monitor.api.ksyun.com"
	// EnvPrefix is the prefix of the environment variables of all settings.
	EnvPrefix = "KSYUN_TAP_"
)

// setting is one row of the table.
type setting struct {
	name     string
	help     string
	fallback []string
	// reloads reports whether a reload applies a new value.
	reloads bool
	bind    func(s *Settings, f *kingpin.FlagClause)
}

var table = []setting{
	{
		name: "config.file",
		help: "Configuration file (YAML). Its keys are the names of these flags. It is read again on SIGHUP and, with --web.enable-lifecycle, POST /-/reload.",
		bind: func(s *Settings, f *kingpin.FlagClause) { f.PlaceHolder("FILE").StringVar(&s.ConfigFile) },
	},
	{
		name: "proxy.listen-address", fallback: []string{DefaultProxyListen},
		help: "Address for programs whose calls are tapped: the proxy in HTTP_PROXY, or the address that the API's host name resolves to. Repeatable.",
		bind: func(s *Settings, f *kingpin.FlagClause) { f.SetValue(addresses(&s.ProxyListen)) },
	},
	{
		name: "proxy.tls-listen-address",
		help: "Address for programs that start with TLS, as on port 443 of the API's host. Needs --intercept. Repeatable.",
		bind: func(s *Settings, f *kingpin.FlagClause) { f.SetValue(addresses(&s.ProxyTLSListen)) },
	},
	{
		name: "transparent.listen-address",
		help: "Address to which the system redirects the connections of programs to ports 80 and 443, usually 127.0.0.1:18183 and [::1]:18183. Linux only; see ksyun-tap init-redirect. Repeatable.",
		bind: func(s *Settings, f *kingpin.FlagClause) { f.SetValue(addresses(&s.Transparent)) },
	},
	{
		name: "proxy.head-timeout", fallback: []string{collector.DefaultTimeouts().ReadHead.String()},
		help: "Timeout for a program to send the head of a request that it has begun.",
		bind: func(s *Settings, f *kingpin.FlagClause) { f.SetValue(positive(&s.ProxyTimeouts.ReadHead)) },
	},
	{
		name: "proxy.idle-timeout", fallback: []string{collector.DefaultTimeouts().ClientIdle.String()},
		help: "How long a program's connection may be idle between requests.",
		bind: func(s *Settings, f *kingpin.FlagClause) { f.SetValue(positive(&s.ProxyTimeouts.ClientIdle)) },
	},
	{
		name: "proxy.stall-timeout", fallback: []string{collector.DefaultTimeouts().Stall.String()},
		help: "How long a read or write of a body may make no progress.",
		bind: func(s *Settings, f *kingpin.FlagClause) { f.SetValue(positive(&s.ProxyTimeouts.Stall)) },
	},
	{
		name: "proxy.max-connections", fallback: []string{"0"},
		help: "Maximum number of open connections of programs. A connection beyond it replaces the one that has been idle for the longest or, if none is idle, is answered with status 503. 0 means as many as the limit of file descriptors allows.",
		bind: func(s *Settings, f *kingpin.FlagClause) { f.SetValue(countOrNone(&s.MaxConnections)) },
	},
	{
		name: "proxy.buffer-limit", fallback: []string{"0"},
		help: "Maximum memory for buffers. When it is used up, bodies are relayed without being inspected. 0 means a quarter of the memory limit (GOMEMLIMIT or the cgroup's), if there is one.",
		bind: func(s *Settings, f *kingpin.FlagClause) { f.SetValue(sizeOrNone(&s.BufferLimit)) },
	},
	{
		name: "proxy.shutdown-timeout", fallback: []string{"10s"},
		help: "How long to wait for running calls after SIGTERM before they are cut off. Logs and spans get another 1.4s to be flushed.",
		bind: func(s *Settings, f *kingpin.FlagClause) { f.SetValue(positive(&s.ShutdownTimeout)) },
	},
	{
		name: "web.listen-address", fallback: []string{DefaultWebListen},
		help: "Address of the web listener: metrics and health and, without --web.admin-listen-address, the page of failures and its API. Repeatable.",
		bind: func(s *Settings, f *kingpin.FlagClause) { f.SetValue(addresses(&s.WebListen)) },
	},
	{
		name: "web.admin-listen-address",
		help: "Address of the page of failures, its API, reload and profiles, which are then not served at --web.listen-address. It also has metrics and health, and may be one of the addresses of --web.listen-address. By default all are served there, which must be loopback addresses unless there is a --web.config.file. Repeatable.",
		bind: func(s *Settings, f *kingpin.FlagClause) { f.SetValue(addresses(&s.AdminListen)) },
	},
	{
		name: "web.enable-lifecycle", fallback: []string{"false"},
		help: "Enable reload by POST /-/reload. SIGHUP always reloads.",
		bind: func(s *Settings, f *kingpin.FlagClause) { f.BoolVar(&s.EnableLifecycle) },
	},
	{
		name: "web.enable-pprof", fallback: []string{"false"},
		help: "Serve profiles of the tap at /debug/pprof/.",
		bind: func(s *Settings, f *kingpin.FlagClause) { f.BoolVar(&s.EnablePprof) },
	},
	{
		name: "web.config.file",
		help: "File that configures TLS and basic authentication for --web.listen-address and --web.admin-listen-address, in the format of Prometheus' exporter-toolkit. /-/healthy and /-/ready need no authentication.",
		bind: func(s *Settings, f *kingpin.FlagClause) { f.PlaceHolder("FILE").StringVar(&s.WebConfigFile) },
	},
	{
		name: "tap.host", fallback: []string{DefaultTapHost}, reloads: true,
		help: "Host whose calls are observed: a name, or *.DOMAIN for all names below a domain. Repeatable.",
		bind: func(s *Settings, f *kingpin.FlagClause) { f.SetValue(HostPatterns(&s.TapHosts)) },
	},
	{
		name: "tap.other-hosts", fallback: []string{"refuse"}, reloads: true,
		help: "What to do with requests to hosts that match no --tap.host: refuse them; forward them unobserved to ports 80 and 443, except to loopback and link-local addresses; or pass them unobserved to any port and address, for listeners that only one program can reach, as in a pod. forward and pass need loopback listeners.",
		bind: func(s *Settings, f *kingpin.FlagClause) {
			f.PlaceHolder("refuse|forward|pass").SetValue(&s.OtherHosts)
		},
	},
	{
		name: "tap.inspect-size", fallback: []string{"64KiB"},
		help: "How many bytes of each body are inspected to classify a call. Bodies of any size are relayed completely.",
		bind: func(s *Settings, f *kingpin.FlagClause) { f.SetValue(size(&s.InspectBytes)) },
	},
	{
		name: "tap.catalog-file", reloads: true,
		help: "File with additional error codes, which are added to the catalogue or replace its entries. Repeatable.",
		bind: func(s *Settings, f *kingpin.FlagClause) {
			f.PlaceHolder("FILE").SetValue(list(&s.CatalogFiles, parseText))
		},
	},
	{
		name: "intercept", fallback: []string{"false"},
		help: "Intercept TLS to tapped hosts with certificates of a local CA that programs must trust (see --intercept.ca-dir).",
		bind: func(s *Settings, f *kingpin.FlagClause) { f.BoolVar(&s.Intercept) },
	},
	{
		name: "intercept.ca-dir",
		help: "Directory of the local CA: its key, ca.pem (the CA alone) and bundle.pem (with the system's roots). Created with mode 0700.",
		bind: func(s *Settings, f *kingpin.FlagClause) { f.PlaceHolder("DIR").StringVar(&s.CADir) },
	},
	{
		name: "intercept.publish-dir",
		help: "Directory for ca.pem and bundle.pem instead of --intercept.ca-dir, so that programs of other users or in other containers can read them without access to the key.",
		bind: func(s *Settings, f *kingpin.FlagClause) { f.PlaceHolder("DIR").StringVar(&s.PublishDir) },
	},
	{
		name: "csm.listen-address",
		help: "UDP address for the client-side monitoring records of the Go SDK v1 (AWS_CSM_ENABLED=true), usually " + csm.DefaultAddress + ". Off by default.",
		bind: func(s *Settings, f *kingpin.FlagClause) { f.SetValue(address(&s.CSMListen)) },
	},
	{
		name: "credential.key-file",
		help: "File with a secret of at least 16 bytes, with which access keys are hashed before they are reported. Give all taps of a fleet the same file, so that they report the same hash for the same key. By default the hashes change with every start. Other users must not be able to read it.",
		bind: func(s *Settings, f *kingpin.FlagClause) { f.PlaceHolder("FILE").StringVar(&s.CredentialKeyFile) },
	},
	{
		name: "credential.alias",
		help: "Name under which an access key is reported: NAME=FILE, where the file contains the access key ID, or NAME=HASH with the hash that is reported for it, which needs --credential.key-file. Repeatable.",
		bind: func(s *Settings, f *kingpin.FlagClause) {
			f.PlaceHolder("NAME=FILE|HASH").SetValue(list(&s.CredentialAliases, parseAlias))
		},
	},
	{
		name: "quota.limit",
		help: "Limit of an action in calls per minute and credential, in place of the documented one: ACTION=N, or ACTION/VERSION=N for one version. 0 means no limit. Repeatable.",
		bind: func(s *Settings, f *kingpin.FlagClause) {
			f.PlaceHolder("ACTION=N").SetValue(list(&s.QuotaLimits, parseQuota))
		},
	},
	{
		name: "resign.listen-address",
		help: "Re-signing address, for programs that can be configured with another endpoint but not with a proxy: their calls are signed again and sent to --resign.upstream. Other addresses than loopback need --resign.client-ca-file or --resign.allow. Repeatable.",
		bind: func(s *Settings, f *kingpin.FlagClause) { f.SetValue(addresses(&s.Resign.Listen)) },
	},
	{
		name: "resign.upstream", fallback: []string{"https://monitor.api.ksyun.com"},
		help: "Where calls to --resign.listen-address are sent. It must be a tapped host.",
		bind: func(s *Settings, f *kingpin.FlagClause) {
			f.PlaceHolder("URL").SetValue(scalar[*url.URL]{&s.Resign.Upstream, parseOrigin})
		},
	},
	{
		name: "resign.region", fallback: []string{"cn-beijing-6"},
		help: "Region to sign for if a call's signature names none.",
		bind: func(s *Settings, f *kingpin.FlagClause) { f.StringVar(&s.Resign.Region) },
	},
	{
		name: "resign.service", fallback: []string{"monitor"},
		help: "Service to sign for if a call's signature names none.",
		bind: func(s *Settings, f *kingpin.FlagClause) { f.StringVar(&s.Resign.Service) },
	},
	{
		name: "resign.credentials-file",
		help: "YAML or JSON file with the credentials to sign with: access_key, secret_key and, optionally, security_token. Other users must not be able to read it. Changes are applied within seconds. By default the credentials are KSYUN_ACCESS_KEY, KSYUN_SECRET_KEY and KSYUN_SECURITY_TOKEN.",
		bind: func(s *Settings, f *kingpin.FlagClause) { f.PlaceHolder("FILE").StringVar(&s.Resign.CredentialsFile) },
	},
	{
		name: "resign.client-key-file",
		help: "File in the same format with a made-up key, with which programs must sign their calls. By default their signatures are not verified.",
		bind: func(s *Settings, f *kingpin.FlagClause) { f.PlaceHolder("FILE").StringVar(&s.Resign.ClientKeyFile) },
	},
	{
		name: "resign.cert-file",
		help: "PEM file with the certificate for TLS on --resign.listen-address. It is read for each connection, like its key and the client CA.",
		bind: func(s *Settings, f *kingpin.FlagClause) { f.PlaceHolder("FILE").StringVar(&s.Resign.CertFile) },
	},
	{
		name: "resign.key-file",
		help: "PEM file with the key of --resign.cert-file.",
		bind: func(s *Settings, f *kingpin.FlagClause) { f.PlaceHolder("FILE").StringVar(&s.Resign.KeyFile) },
	},
	{
		name: "resign.client-ca-file",
		help: "PEM file with the CA of the client certificates that programs must present (mutual TLS).",
		bind: func(s *Settings, f *kingpin.FlagClause) { f.PlaceHolder("FILE").StringVar(&s.Resign.ClientCAFile) },
	},
	{
		name: "resign.allow",
		help: "Network from which programs may connect to --resign.listen-address, such as 10.1.0.0/16. By default all may. Repeatable.",
		bind: func(s *Settings, f *kingpin.FlagClause) {
			f.PlaceHolder("CIDR").SetValue(list(&s.Resign.Allow, ParsePrefix))
		},
	},
	{
		name: "upstream.connect-to", reloads: true,
		help: "Connect to ADDR:PORT instead of HOST:PORT, like curl's --connect-to. The only way to use an upstream on a loopback address. Repeatable.",
		bind: func(s *Settings, f *kingpin.FlagClause) {
			f.PlaceHolder("HOST:PORT=ADDR:PORT").SetValue(list(&s.ConnectTo, upstream.ParseConnectTo))
		},
	},
	{
		name: "upstream.ca-file", reloads: true,
		help: "PEM file with CA certificates to trust in addition to the system's.",
		bind: func(s *Settings, f *kingpin.FlagClause) { f.PlaceHolder("FILE").StringVar(&s.UpstreamCAFile) },
	},
	{
		name: "upstream.scheme", fallback: []string{"as-client"}, reloads: true,
		help: "as-client keeps the scheme of the program; https sends calls that arrive over plain HTTP over TLS, with verification.",
		bind: func(s *Settings, f *kingpin.FlagClause) { f.SetValue(oneOf(&s.UpstreamScheme, "as-client", "https")) },
	},
	{
		name: "upstream.resolver", reloads: true,
		help: "DNS server for the API's addresses, which bypasses the hosts file. For setups in which the API's host name resolves to the tap.",
		bind: func(s *Settings, f *kingpin.FlagClause) {
			f.PlaceHolder("IP[:PORT]").SetValue(scalar[upstream.DNS]{&s.Resolver, upstream.ParseDNS})
		},
	},
	{
		name: "upstream.mark", fallback: []string{"0"}, reloads: true,
		help: "Mark to set on connections to the API (SO_MARK), such as 0x6b73, so that the rules of init-redirect can exclude them. Needs CAP_NET_ADMIN. 0 sets none.",
		bind: func(s *Settings, f *kingpin.FlagClause) { f.SetValue(Mark(&s.UpstreamMark)) },
	},
	{
		name: "upstream.dial-timeout", fallback: []string{collector.DefaultTimeouts().Dial.String()},
		help: "Timeout for connecting to the API, including name resolution but not TLS.",
		bind: func(s *Settings, f *kingpin.FlagClause) { f.SetValue(positive(&s.ProxyTimeouts.Dial)) },
	},
	{
		name: "upstream.response-timeout", fallback: []string{collector.DefaultTimeouts().Response.String()},
		help: "Timeout for the first byte of the API's response.",
		bind: func(s *Settings, f *kingpin.FlagClause) { f.SetValue(positive(&s.ProxyTimeouts.Response)) },
	},
	{
		name: "log.level", fallback: []string{"info"}, reloads: true,
		help: "Log level: debug, info, warn or error.",
		bind: func(s *Settings, f *kingpin.FlagClause) {
			f.SetValue(oneOf(&s.LogLevel, "debug", "info", "warn", "error"))
		},
	},
	{
		name: "log.format", fallback: []string{logs.FormatJSON},
		help: "Log format: json, logfmt or console.",
		bind: func(s *Settings, f *kingpin.FlagClause) { f.SetValue(oneOf(&s.LogFormat, logs.Formats()...)) },
	},
	{
		name: "log.file",
		help: "File to append the log to instead of standard error. It is reopened on SIGHUP and SIGUSR1. - and /dev/stdout mean standard output, /dev/stderr standard error. A named pipe works even before it has a reader.",
		bind: func(s *Settings, f *kingpin.FlagClause) { f.PlaceHolder("FILE").StringVar(&s.LogFile) },
	},
	{
		name: "log.access", fallback: []string{"false"},
		help: "Log every call, not only failed ones.",
		bind: func(s *Settings, f *kingpin.FlagClause) { f.BoolVar(&s.LogAccess) },
	},
	{
		name: "traces.success-ratio", fallback: []string{"0.01"}, reloads: true,
		help: "Share of successful calls whose spans are exported, from 0 to 1. Spans of failed calls are always exported. OTEL_* variables configure the exporter.",
		bind: func(s *Settings, f *kingpin.FlagClause) { f.SetValue(ratio(&s.TracesSuccessRatio)) },
	},
	{
		name: "check-path.interval", fallback: []string{"0s"},
		help: "How often to send one unsigned call through the tap to check the path to the API (ksyun_tap_path_check_*). It is not counted as a call. 0s means never.",
		bind: func(s *Settings, f *kingpin.FlagClause) { f.SetValue(notNegative(&s.CheckInterval)) },
	},
	{
		name: "check-path.target", fallback: []string{DefaultCheckTarget},
		help: "URL of the API for the path check, with the scheme that programs use.",
		bind: func(s *Settings, f *kingpin.FlagClause) {
			f.PlaceHolder("URL").SetValue(scalar[*url.URL]{&s.CheckTarget, parseOrigin})
		},
	},
	{
		name: "journal.size", fallback: []string{"1000"},
		help: "Number of recent failures to keep in memory for look-up.",
		bind: func(s *Settings, f *kingpin.FlagClause) { f.SetValue(count(&s.JournalSize)) },
	},
}

// flagger adds flags: a kingpin application or command.
type flagger interface {
	Flag(name, help string) *kingpin.FlagClause
}

// Register adds a flag for each setting to to, except those in skip. The values
// in file replace the defaults.
func (s *Settings) Register(to flagger, file File, skip ...string) {
	s.ProxyTimeouts = collector.DefaultTimeouts()
	s.file, s.texts = file, make(map[string][]string)
	for _, row := range table {
		if slices.Contains(skip, row.name) {
			continue
		}
		f := to.Flag(row.name, row.help).Envar(envName(row.name))
		if values, ok := file.values[row.name]; ok {
			f.Default(values...)
		} else if row.fallback != nil {
			f.Default(row.fallback...)
		}
		row.bind(s, f)
		f.SetValue(&sourced{Value: f.Model().Value, name: row.name, s: s})
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

// NeedRestart returns the names of the settings that differ and are only applied
// by a restart.
func NeedRestart(running, next *Settings) []string {
	var names []string
	for _, row := range table {
		if !row.reloads && row.name != "config.file" && row.value(running) != row.value(next) {
			names = append(names, row.name)
		}
	}
	return names
}

// value returns the text of a setting's value.
func (row setting) value(s *Settings) string {
	f := kingpin.New("", "").Flag(row.name, row.help)
	c := *s
	row.bind(&c, f)
	return f.Model().Value.String()
}

// Description describes a setting for the reference documentation.
type Description struct {
	Name    string // name of the flag, without dashes, and of the key in the file
	Env     string
	Default string // "" if there is none
	Help    string
	Reloads bool // a reload applies a new value
}

// Describe returns the descriptions of all settings.
func Describe() []Description {
	all := make([]Description, len(table))
	for i, row := range table {
		all[i] = Description{row.name, envName(row.name), strings.Join(row.fallback, ","), row.help, row.reloads}
	}
	return all
}

// Taps reports whether the calls of a host are observed.
func (s *Settings) Taps(host hostname.Name) bool { return s.TapHosts.Match(host) }
