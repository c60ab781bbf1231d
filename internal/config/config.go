// Package config holds the settings of the tap: one table from which flags,
// environment and configuration file are read, in this order of precedence:
//
//	flag  >  environment (KSYUN_TAP_*)  >  file  >  default
//
// A key of the file is the flag's name without its dashes, written whole
// ("proxy.listen-address: ...") or nested at the dots. Every error names the
// flag, variable or line that it comes from, and what to write instead.
package config

import (
	"errors"
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
	"github.com/ksyun-tap/ksyun-tap/exporter/logs"
)

// Settings is everything that can be set.
type Settings struct {
	ConfigFile string

	ProxyListen     []string
	ProxyTLSListen  []string
	Transparent     []string // listen addresses
	ProxyTimeouts   collector.Timeouts
	ShutdownTimeout time.Duration

	WebListen     []string
	WebConfigFile string

	TapHosts     []collector.HostPattern
	OtherHosts   collector.OtherHosts
	InspectBytes int
	// MaxConnections and BufferLimit are 0 for what the process has.
	MaxConnections int
	BufferLimit    int64
	CatalogFiles   []string

	Intercept  bool
	CADir      string
	PublishDir string // "" is CADir; see TrustDir
	CSMListen  string

	Resign Resign

	ConnectTo      []collector.ConnectTo
	UpstreamCAFile string
	UpstreamScheme string
	UpstreamMark   uint32        // 0 is none
	Resolver       collector.DNS // not to be used if it is the zero value

	LogLevel  string
	LogFormat string
	LogFile   string
	LogAccess bool

	TracesSuccessRatio float64
	JournalSize        int

	CheckInterval time.Duration // 0 is never
	CheckTarget   *url.URL

	// Where the values come from, and how they were written.
	given []string
	file  File
	texts map[string][]string
}

// Resign is what is set of the tap's own address, where calls are signed anew.
type Resign struct {
	Listen          []string
	Upstream        *url.URL
	Region, Service string
	CredentialsFile string // "" is the environment
	ClientKeyFile   string // "" is to look at no signature
	CertFile        string
	KeyFile         string
	ClientCAFile    string
	Allow           []netip.Prefix
}

// The defaults that more than one place names.
const (
	DefaultProxyListen = "127.0.0.1:18181"
	DefaultWebListen   = "127.0.0.1:18180"
	DefaultTapHost     = "*.api.ksyun.com"
	DefaultCheckTarget = "http://monitor.api.ksyun.com"
	// EnvPrefix is put before the name of every setting in the environment.
	EnvPrefix = "KSYUN_TAP_"
)

// setting is one row of the table.
type setting struct {
	name     string
	help     string
	fallback []string
	// reloads tells that a new value takes effect without a restart.
	reloads bool
	bind    func(s *Settings, f *kingpin.FlagClause)
}

var table = []setting{
	{
		name: "config.file",
		help: "Configuration file (YAML); its keys are the names of these flags. Re-read on SIGHUP and POST /-/reload.",
		bind: func(s *Settings, f *kingpin.FlagClause) { f.PlaceHolder("FILE").StringVar(&s.ConfigFile) },
	},
	{
		name: "proxy.listen-address", fallback: []string{DefaultProxyListen},
		help: "Address for the programs whose calls are tapped, as their HTTP_PROXY or as the API's own host. Repeatable.",
		bind: func(s *Settings, f *kingpin.FlagClause) { f.SetValue(addresses(&s.ProxyListen)) },
	},
	{
		name: "proxy.tls-listen-address",
		help: "Address for programs that speak TLS at once, as to the API's own host on port 443. Needs --intercept. Repeatable.",
		bind: func(s *Settings, f *kingpin.FlagClause) { f.SetValue(addresses(&s.ProxyTLSListen)) },
	},
	{
		name: "transparent.listen-address",
		help: "Address to which the system redirects connections that programs make to ports 80 and 443 (Linux; see ksyun-tap init-redirect), usually 127.0.0.1:18183 and [::1]:18183. Repeatable.",
		bind: func(s *Settings, f *kingpin.FlagClause) { f.SetValue(addresses(&s.Transparent)) },
	},
	{
		name: "proxy.head-timeout", fallback: []string{collector.DefaultTimeouts().ReadHead.String()},
		help: "How long a program may take to send the head of a request it has begun.",
		bind: func(s *Settings, f *kingpin.FlagClause) { f.SetValue(positive(&s.ProxyTimeouts.ReadHead)) },
	},
	{
		name: "proxy.idle-timeout", fallback: []string{collector.DefaultTimeouts().ClientIdle.String()},
		help: "How long a program's connection may wait for its next request.",
		bind: func(s *Settings, f *kingpin.FlagClause) { f.SetValue(positive(&s.ProxyTimeouts.ClientIdle)) },
	},
	{
		name: "proxy.stall-timeout", fallback: []string{collector.DefaultTimeouts().Stall.String()},
		help: "How long one read or write of a body may make no progress.",
		bind: func(s *Settings, f *kingpin.FlagClause) { f.SetValue(positive(&s.ProxyTimeouts.Stall)) },
	},
	{
		name: "proxy.max-connections", fallback: []string{"0"},
		help: "How many connections of programs may be open. Beyond it the one that waited longest for a request makes room, or, if none waits, the new one is answered with 503. 0 is as many as there are file descriptors for.",
		bind: func(s *Settings, f *kingpin.FlagClause) { f.SetValue(countOrNone(&s.MaxConnections)) },
	},
	{
		name: "proxy.buffer-limit", fallback: []string{"0"},
		help: "How much memory buffers may take. Beyond it, bodies pass without being inspected. 0 is a quarter of the memory limit (GOMEMLIMIT, or the cgroup's), if there is one.",
		bind: func(s *Settings, f *kingpin.FlagClause) { f.SetValue(sizeOrNone(&s.BufferLimit)) },
	},
	{
		name: "proxy.shutdown-timeout", fallback: []string{"10s"},
		help: "How long running calls may take to finish after SIGTERM, before they are cut off. Sinks get 1.4s more to flush.",
		bind: func(s *Settings, f *kingpin.FlagClause) { f.SetValue(positive(&s.ShutdownTimeout)) },
	},
	{
		name: "web.listen-address", fallback: []string{DefaultWebListen},
		help: "Address for metrics, health, the list of failures and its API. Repeatable.",
		bind: func(s *Settings, f *kingpin.FlagClause) { f.SetValue(addresses(&s.WebListen)) },
	},
	{
		name: "web.config.file",
		help: "File with TLS and basic auth for --web.listen-address, in the grammar of Prometheus' exporter-toolkit.",
		bind: func(s *Settings, f *kingpin.FlagClause) { f.PlaceHolder("FILE").StringVar(&s.WebConfigFile) },
	},
	{
		name: "tap.host", fallback: []string{DefaultTapHost}, reloads: true,
		help: "Host whose calls are observed: a name, or *.name for everything below it. Repeatable.",
		bind: func(s *Settings, f *kingpin.FlagClause) { f.SetValue(HostPatterns(&s.TapHosts)) },
	},
	{
		name: "tap.other-hosts", fallback: []string{"refuse"}, reloads: true,
		help: "What becomes of requests to hosts that match no --tap.host: refuse them; forward them unobserved to ports 80 and 443, but not to loopback and link-local addresses; or pass them to any port and address, for listeners that one program alone can reach, as in a pod. The last two on loopback listeners only.",
		bind: func(s *Settings, f *kingpin.FlagClause) {
			f.PlaceHolder("refuse|forward|pass").SetValue(&s.OtherHosts)
		},
	},
	{
		name: "tap.inspect-size", fallback: []string{"64KiB"},
		help: "How much of a body is read aside to classify it. Bodies are passed on whole at any size.",
		bind: func(s *Settings, f *kingpin.FlagClause) { f.SetValue(size(&s.InspectBytes)) },
	},
	{
		name: "tap.catalog-file", reloads: true,
		help: "File with error codes of your own, added to the catalogue or replacing its rows. Repeatable.",
		bind: func(s *Settings, f *kingpin.FlagClause) {
			f.PlaceHolder("FILE").SetValue(list(&s.CatalogFiles, parseText))
		},
	},
	{
		name: "intercept", fallback: []string{"false"},
		help: "Take part in the TLS of CONNECTs to tapped hosts, under a local CA that programs must be told to trust (see --intercept.ca-dir).",
		bind: func(s *Settings, f *kingpin.FlagClause) { f.BoolVar(&s.Intercept) },
	},
	{
		name: "intercept.ca-dir",
		help: "Directory of the CA, made with mode 0700: its key, ca.pem (the CA alone) and bundle.pem (with the system's roots).",
		bind: func(s *Settings, f *kingpin.FlagClause) { f.PlaceHolder("DIR").StringVar(&s.CADir) },
	},
	{
		name: "intercept.publish-dir",
		help: "Directory for ca.pem and bundle.pem instead of --intercept.ca-dir, where programs of other users, or in other containers, can read them and never the key.",
		bind: func(s *Settings, f *kingpin.FlagClause) { f.PlaceHolder("DIR").StringVar(&s.PublishDir) },
	},
	{
		name: "csm.listen-address",
		help: "UDP address for the telemetry of the Go SDK v1 (AWS_CSM_ENABLED=true), usually " + csm.DefaultAddress + "; none is no intake.",
		bind: func(s *Settings, f *kingpin.FlagClause) { f.SetValue(address(&s.CSMListen)) },
	},
	{
		name: "resign.listen-address",
		help: "Address for programs that take another endpoint but no proxy: their calls are signed anew and sent to --resign.upstream. Anywhere but on loopback it needs --resign.client-ca-file or --resign.allow. Repeatable.",
		bind: func(s *Settings, f *kingpin.FlagClause) { f.SetValue(addresses(&s.Resign.Listen)) },
	},
	{
		name: "resign.upstream", fallback: []string{"https://monitor.api.ksyun.com"},
		help: "Where calls to --resign.listen-address go; a tapped host.",
		bind: func(s *Settings, f *kingpin.FlagClause) {
			f.PlaceHolder("URL").SetValue(scalar[*url.URL]{&s.Resign.Upstream, parseOrigin})
		},
	},
	{
		name: "resign.region", fallback: []string{"cn-beijing-6"},
		help: "Region that calls are signed for which name none in a signature of their own.",
		bind: func(s *Settings, f *kingpin.FlagClause) { f.StringVar(&s.Resign.Region) },
	},
	{
		name: "resign.service", fallback: []string{"monitor"},
		help: "Service that such calls are signed for.",
		bind: func(s *Settings, f *kingpin.FlagClause) { f.StringVar(&s.Resign.Service) },
	},
	{
		name: "resign.credentials-file",
		help: "YAML or JSON file with access_key, secret_key and perhaps security_token, which calls are signed with; not to be read by others. Followed as it changes. None is KSYUN_ACCESS_KEY, KSYUN_SECRET_KEY and KSYUN_SECURITY_TOKEN.",
		bind: func(s *Settings, f *kingpin.FlagClause) { f.PlaceHolder("FILE").StringVar(&s.Resign.CredentialsFile) },
	},
	{
		name: "resign.client-key-file",
		help: "File of that form with a key made up for the programs, which they must have signed with. None is to look at no signature.",
		bind: func(s *Settings, f *kingpin.FlagClause) { f.PlaceHolder("FILE").StringVar(&s.Resign.ClientKeyFile) },
	},
	{
		name: "resign.cert-file",
		help: "PEM file with the certificate for TLS on --resign.listen-address. Read anew for each connection, as are its key and the CA.",
		bind: func(s *Settings, f *kingpin.FlagClause) { f.PlaceHolder("FILE").StringVar(&s.Resign.CertFile) },
	},
	{
		name: "resign.key-file",
		help: "PEM file with that certificate's key.",
		bind: func(s *Settings, f *kingpin.FlagClause) { f.PlaceHolder("FILE").StringVar(&s.Resign.KeyFile) },
	},
	{
		name: "resign.client-ca-file",
		help: "PEM file with the CA whose certificates programs must show (mutual TLS).",
		bind: func(s *Settings, f *kingpin.FlagClause) { f.PlaceHolder("FILE").StringVar(&s.Resign.ClientCAFile) },
	},
	{
		name: "resign.allow",
		help: "Network from which programs may call --resign.listen-address, such as 10.1.0.0/16; none is all. Repeatable.",
		bind: func(s *Settings, f *kingpin.FlagClause) {
			f.PlaceHolder("CIDR").SetValue(list(&s.Resign.Allow, ParsePrefix))
		},
	},
	{
		name: "upstream.connect-to", reloads: true,
		help: "Connect to ADDR:PORT in place of HOST:PORT, as curl's --connect-to. The only way to an upstream on loopback. Repeatable.",
		bind: func(s *Settings, f *kingpin.FlagClause) {
			f.PlaceHolder("HOST:PORT=ADDR:PORT").SetValue(list(&s.ConnectTo, collector.ParseConnectTo))
		},
	},
	{
		name: "upstream.ca-file", reloads: true,
		help: "PEM file with CA certificates that are trusted beside the system's.",
		bind: func(s *Settings, f *kingpin.FlagClause) { f.PlaceHolder("FILE").StringVar(&s.UpstreamCAFile) },
	},
	{
		name: "upstream.scheme", fallback: []string{"as-client"}, reloads: true,
		help: "as-client, or https to send calls that arrive as plain HTTP on over verified TLS.",
		bind: func(s *Settings, f *kingpin.FlagClause) { f.EnumVar(&s.UpstreamScheme, "as-client", "https") },
	},
	{
		name: "upstream.resolver", reloads: true,
		help: "DNS server that is asked for the addresses of the API, past the hosts file: for where the API's name leads to the tap.",
		bind: func(s *Settings, f *kingpin.FlagClause) {
			f.PlaceHolder("IP[:PORT]").SetValue(scalar[collector.DNS]{&s.Resolver, collector.ParseDNS})
		},
	},
	{
		name: "upstream.mark", fallback: []string{"0"}, reloads: true,
		help: "Mark set on connections to the API (SO_MARK), such as 0x6b73, by which init-redirect leaves them out. Takes CAP_NET_ADMIN. 0 is none.",
		bind: func(s *Settings, f *kingpin.FlagClause) { f.SetValue(Mark(&s.UpstreamMark)) },
	},
	{
		name: "upstream.dial-timeout", fallback: []string{collector.DefaultTimeouts().Dial.String()},
		help: "How long connecting to the API may take, name resolution included and TLS not.",
		bind: func(s *Settings, f *kingpin.FlagClause) { f.SetValue(positive(&s.ProxyTimeouts.Dial)) },
	},
	{
		name: "upstream.response-timeout", fallback: []string{collector.DefaultTimeouts().Response.String()},
		help: "How long the API may take to begin its answer.",
		bind: func(s *Settings, f *kingpin.FlagClause) { f.SetValue(positive(&s.ProxyTimeouts.Response)) },
	},
	{
		name: "log.level", fallback: []string{"info"}, reloads: true,
		help: "debug, info, warn or error.",
		bind: func(s *Settings, f *kingpin.FlagClause) { f.EnumVar(&s.LogLevel, "debug", "info", "warn", "error") },
	},
	{
		name: "log.format", fallback: []string{logs.FormatJSON},
		help: "json, logfmt or console.",
		bind: func(s *Settings, f *kingpin.FlagClause) { f.EnumVar(&s.LogFormat, logs.Formats()...) },
	},
	{
		name: "log.file",
		help: "File the log is appended to, instead of standard error; reopened on SIGHUP and SIGUSR1. - and /dev/stdout are standard output, /dev/stderr is standard error. A named pipe will do, also before anybody reads it.",
		bind: func(s *Settings, f *kingpin.FlagClause) { f.PlaceHolder("FILE").StringVar(&s.LogFile) },
	},
	{
		name: "log.access", fallback: []string{"false"},
		help: "Log every call, not only the failed ones.",
		bind: func(s *Settings, f *kingpin.FlagClause) { f.BoolVar(&s.LogAccess) },
	},
	{
		name: "traces.success-ratio", fallback: []string{"0.01"}, reloads: true,
		help: "Share of successful calls whose spans are exported, 0 to 1. Failures always are. The exporter is set by OTEL_*.",
		bind: func(s *Settings, f *kingpin.FlagClause) { f.SetValue(ratio(&s.TracesSuccessRatio)) },
	},
	{
		name: "check-path.interval", fallback: []string{"0s"},
		help: "How often one unsigned call is sent through the tap to see whether the way to the API is in order (ksyun_tap_path_check_*); it is counted nowhere else. 0s is never.",
		bind: func(s *Settings, f *kingpin.FlagClause) { f.SetValue(notNegative(&s.CheckInterval)) },
	},
	{
		name: "check-path.target", fallback: []string{DefaultCheckTarget},
		help: "The API, with the scheme that programs use, for that call.",
		bind: func(s *Settings, f *kingpin.FlagClause) {
			f.PlaceHolder("URL").SetValue(scalar[*url.URL]{&s.CheckTarget, parseOrigin})
		},
	},
	{
		name: "journal.size", fallback: []string{"1000"},
		help: "How many of the last failures are kept in memory for look-up.",
		bind: func(s *Settings, f *kingpin.FlagClause) { f.SetValue(count(&s.JournalSize)) },
	},
}

// flagger is what flags are added to: a kingpin application or command.
type flagger interface {
	Flag(name, help string) *kingpin.FlagClause
}

// Register adds a flag for every setting to to. Values found in file, by
// setting, stand in for the defaults. A second registration may skip settings.
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

// envName is the environment variable of a setting.
func envName(name string) string {
	return EnvPrefix + strings.ToUpper(strings.NewReplacer(".", "_", "-", "_").Replace(name))
}

// Validate checks what no setting tells alone.
func (s *Settings) Validate() error {
	if s.OtherHosts != collector.OtherRefuse {
		for _, a := range slices.Concat(s.ProxyListen, s.ProxyTLSListen) {
			if !isLoopback(a) {
				return fmt.Errorf("--tap.other-hosts=%s with --proxy.listen-address=%s would be an open proxy: listen on 127.0.0.1, or refuse other hosts", s.OtherHosts, a)
			}
		}
	}
	if s.Intercept && s.CADir == "" {
		return errors.New("--intercept needs --intercept.ca-dir=DIR, where programs find the CA they are to trust")
	}
	if s.PublishDir != "" && s.CADir == "" {
		return errors.New("--intercept.publish-dir needs --intercept.ca-dir=DIR, where the key is kept")
	}
	if s.PublishDir != "" && contains(s.CADir, s.PublishDir) {
		return fmt.Errorf("--intercept.publish-dir=%s is in --intercept.ca-dir, where nobody else can read it: give a directory elsewhere", s.PublishDir)
	}
	if len(s.ProxyTLSListen) > 0 && !s.Intercept {
		return errors.New("--proxy.tls-listen-address needs --intercept: without a CA there is no speaking TLS for the API")
	}
	if len(s.Transparent) > 0 && !collector.TransparentSupported {
		return errors.New("--transparent.listen-address needs Linux: use a proxy variable or exec here")
	}
	for _, a := range s.ProxyListen {
		if slices.Contains(s.WebListen, a) && !strings.HasSuffix(a, ":0") {
			return fmt.Errorf("--proxy.listen-address and --web.listen-address are both %s: give each an address of its own", a)
		}
	}
	return s.Resign.validate()
}

// validate keeps an address where others can reach it from spending somebody's
// credentials for them.
func (r *Resign) validate() error {
	if len(r.Listen) == 0 {
		return nil
	}
	switch {
	case (r.CertFile == "") != (r.KeyFile == ""):
		return errors.New("--resign.cert-file and --resign.key-file belong together: give both or neither")
	case r.ClientCAFile != "" && r.CertFile == "":
		return errors.New("--resign.client-ca-file needs --resign.cert-file and --resign.key-file: programs show certificates only through TLS")
	case r.ClientCAFile != "" || len(r.Allow) > 0:
		return nil
	}
	for _, a := range r.Listen {
		if !isLoopback(a) {
			return fmt.Errorf("--resign.listen-address=%s would let anybody spend the credentials: listen on 127.0.0.1, ask for certificates with --resign.client-ca-file, or name networks with --resign.allow", a)
		}
	}
	return nil
}

// TrustDir is where programs find what they are to trust.
func (s *Settings) TrustDir() string {
	if s.PublishDir != "" {
		return s.PublishDir
	}
	return s.CADir
}

// contains reports whether a path is that of dir or of something in it.
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

// NeedRestart lists the settings that differ between the running and the new
// settings and that only a restart applies.
func NeedRestart(running, next *Settings) []string {
	var names []string
	for _, row := range table {
		if !row.reloads && row.name != "config.file" && row.value(running) != row.value(next) {
			names = append(names, row.name)
		}
	}
	return names
}

// value spells what a setting is set to.
func (row setting) value(s *Settings) string {
	f := kingpin.New("", "").Flag(row.name, row.help)
	c := *s
	row.bind(&c, f)
	return f.Model().Value.String()
}

// Description is what the reference tells of a setting.
type Description struct {
	Name    string // of the flag, without dashes, and of the key in the file
	Env     string
	Default string // "" where there is none
	Help    string
	Reloads bool // takes effect without a restart
}

// Describe lists all settings.
func Describe() []Description {
	all := make([]Description, len(table))
	for i, row := range table {
		all[i] = Description{row.name, envName(row.name), strings.Join(row.fallback, ","), row.help, row.reloads}
	}
	return all
}

// Taps reports whether the calls of host, in lower case, are observed.
func (s *Settings) Taps(host string) bool {
	return slices.ContainsFunc(s.TapHosts, func(p collector.HostPattern) bool { return p.Match(host) })
}
