package config

import (
	"net/url"

	"github.com/alecthomas/kingpin/v2"

	"github.com/ksyun-tap/ksyun-tap/collector"
	"github.com/ksyun-tap/ksyun-tap/collector/csm"
	"github.com/ksyun-tap/ksyun-tap/collector/upstream"
	"github.com/ksyun-tap/ksyun-tap/exporter/logs"
	"github.com/ksyun-tap/ksyun-tap/exporter/web"
	"github.com/ksyun-tap/ksyun-tap/internal/lookup"
)

// setting is one row of the table: all that is known of a setting.
type setting struct {
	name        string
	help        string
	placeholder string
	fallback    []string
	// value returns the flag value that sets the setting in s.
	value func(s *Settings) kingpin.Value
	// lookup is whether the setting is one of the verb lookup and not of the tap.
	lookup bool
	// reload is what a reload changes to apply a new value; nil if that needs a
	// restart.
	reload *change
}

var table = []setting{
	{
		name:        "config.file",
		help:        "Configuration file (YAML). Its keys are the names of these flags. It is read again on SIGHUP and, with --web.enable-lifecycle, POST /-/reload.",
		placeholder: "FILE",
		value:       func(s *Settings) kingpin.Value { return text(&s.ConfigFile) },
	},
	{
		name: "proxy.listen-address", fallback: []string{DefaultProxyListen},
		help:  "Address for programs whose calls are tapped: the proxy in HTTP_PROXY, or the address that the API's host name resolves to. Repeatable.",
		value: func(s *Settings) kingpin.Value { return addresses(&s.ProxyListen) },
	},
	{
		name: "proxy.tls-listen-address", placeholder: "ADDRESS",
		help:  "Address for programs that start with TLS, as on port 443 of the API's host. Needs --intercept. Repeatable.",
		value: func(s *Settings) kingpin.Value { return addresses(&s.ProxyTLSListen) },
	},
	{
		name: "transparent.listen-address", placeholder: "ADDRESS",
		help:  "Address to which the system redirects the connections of programs to ports 80 and 443, usually 127.0.0.1:18183 and [::1]:18183. Linux only; see ksyun-tap init-redirect. Repeatable.",
		value: func(s *Settings) kingpin.Value { return addresses(&s.Transparent) },
	},
	{
		name: "proxy.head-timeout", fallback: []string{collector.DefaultTimeouts().ReadHead.String()},
		help:  "Timeout for a program to send the head of a request that it has begun.",
		value: func(s *Settings) kingpin.Value { return positive(&s.ProxyTimeouts.ReadHead) },
	},
	{
		name: "proxy.idle-timeout", fallback: []string{collector.DefaultTimeouts().ClientIdle.String()},
		help:  "How long a program's connection may be idle between requests.",
		value: func(s *Settings) kingpin.Value { return positive(&s.ProxyTimeouts.ClientIdle) },
	},
	{
		name: "proxy.stall-timeout", fallback: []string{collector.DefaultTimeouts().Stall.String()},
		help:  "How long a read or write of a body may make no progress.",
		value: func(s *Settings) kingpin.Value { return positive(&s.ProxyTimeouts.Stall) },
	},
	{
		name: "proxy.max-connections", fallback: []string{"0"},
		help:  "Maximum number of open connections of programs. A connection beyond it replaces the one that has been idle for the longest or, if none is idle, is answered with status 503. 0 means as many as the limit of file descriptors allows.",
		value: func(s *Settings) kingpin.Value { return countOrNone(&s.MaxConnections) },
	},
	{
		name: "proxy.buffer-limit", fallback: []string{"0"},
		help:  "Maximum memory for buffers. When it is used up, bodies are relayed without being inspected. 0 means a quarter of the memory limit (GOMEMLIMIT or the cgroup's), if there is one.",
		value: func(s *Settings) kingpin.Value { return sizeOrNone(&s.BufferLimit) },
	},
	{
		name: "proxy.shutdown-timeout", fallback: []string{"10s"},
		help:  "How long to wait for running calls after SIGTERM before they are cut off. Logs and spans get another 1.4s to be flushed.",
		value: func(s *Settings) kingpin.Value { return positive(&s.ShutdownTimeout) },
	},
	{
		name: "web.listen-address", fallback: []string{DefaultWebListen},
		help:  "Address of the web listener: metrics and health and, without --web.admin-listen-address, the page of failures and its API. Repeatable.",
		value: func(s *Settings) kingpin.Value { return addresses(&s.WebListen) },
	},
	{
		name: "web.admin-listen-address", placeholder: "ADDRESS",
		help:  "Address of the page of failures, its API, reload and profiles, which are then not served at --web.listen-address. It also has metrics and health, and may be one of the addresses of --web.listen-address. By default all are served there, which must be loopback addresses unless there is a --web.config.file. Repeatable.",
		value: func(s *Settings) kingpin.Value { return addresses(&s.AdminListen) },
	},
	{
		name: "web.enable-lifecycle", fallback: []string{"false"},
		help:  "Enable reload by POST /-/reload. SIGHUP always reloads.",
		value: func(s *Settings) kingpin.Value { return boolean(&s.EnableLifecycle) },
	},
	{
		name: "web.enable-pprof", fallback: []string{"false"},
		help:  "Serve profiles of the tap at /debug/pprof/.",
		value: func(s *Settings) kingpin.Value { return boolean(&s.EnablePprof) },
	},
	{
		name:        "web.config.file",
		help:        "File that configures TLS and basic authentication for --web.listen-address and --web.admin-listen-address, in the format of Prometheus' exporter-toolkit. /-/healthy and /-/ready need no authentication.",
		placeholder: "FILE",
		value:       func(s *Settings) kingpin.Value { return text(&s.WebConfigFile) },
	},
	{
		name:        "web.trace-url",
		help:        "Link from the page of a failure to its trace, such as https://jaeger.example.com/trace/{trace_id}. Placeholders: " + placeholders() + ". from_ms and to_ms are 5 minutes before and after the attempt, in milliseconds since 1970.",
		placeholder: "URL",
		value:       func(s *Settings) kingpin.Value { return scalar[web.OutLink]{&s.TraceURL, web.ParseOutLink} },
	},
	{
		name:        "web.logs-url",
		help:        "Link from the page of a failure to its log lines, with the placeholders of --web.trace-url.",
		placeholder: "URL",
		value:       func(s *Settings) kingpin.Value { return scalar[web.OutLink]{&s.LogsURL, web.ParseOutLink} },
	},
	{
		name: "tap.host", fallback: []string{DefaultTapHost}, reload: &routing,
		help:  "Host whose calls are observed: a name, or *.DOMAIN for all names below a domain. Repeatable.",
		value: func(s *Settings) kingpin.Value { return HostPatterns(&s.TapHosts) },
	},
	{
		name: "tap.other-hosts", fallback: []string{"refuse"}, reload: &routing,
		help:        "What to do with requests to hosts that match no --tap.host: refuse them; forward them unobserved to ports 80 and 443, except to loopback and link-local addresses; or pass them unobserved to any port and address, for listeners that only one program can reach, as in a pod. forward and pass need loopback listeners.",
		placeholder: "refuse|forward|pass",
		value:       func(s *Settings) kingpin.Value { return &s.OtherHosts },
	},
	{
		name: "tap.inspect-size", fallback: []string{"64KiB"},
		help:  "How many bytes of each body are inspected to classify a call. Bodies of any size are relayed completely.",
		value: func(s *Settings) kingpin.Value { return size(&s.InspectBytes) },
	},
	{
		name: "tap.catalog-file", reload: &routing,
		help:        "File with additional error codes, which are added to the catalogue or replace its entries. Repeatable.",
		placeholder: "FILE",
		value:       func(s *Settings) kingpin.Value { return list(&s.CatalogFiles, parseText) },
	},
	{
		name: "intercept", fallback: []string{"false"},
		help:  "Intercept TLS to tapped hosts with certificates of a local CA that programs must trust (see --intercept.ca-dir).",
		value: func(s *Settings) kingpin.Value { return boolean(&s.Intercept) },
	},
	{
		name:        "intercept.ca-dir",
		help:        "Directory of the local CA: its key, ca.pem (the CA alone) and bundle.pem (with the system's roots). Created with mode 0700.",
		placeholder: "DIR",
		value:       func(s *Settings) kingpin.Value { return text(&s.CADir) },
	},
	{
		name:        "intercept.publish-dir",
		help:        "Directory for ca.pem and bundle.pem instead of --intercept.ca-dir, so that programs of other users or in other containers can read them without access to the key.",
		placeholder: "DIR",
		value:       func(s *Settings) kingpin.Value { return text(&s.PublishDir) },
	},
	{
		name: "csm.listen-address", placeholder: "ADDRESS",
		help:  "UDP address for the client-side monitoring records of the Go SDK v1 (AWS_CSM_ENABLED=true), usually " + csm.DefaultAddress + ". Off by default.",
		value: func(s *Settings) kingpin.Value { return address(&s.CSMListen) },
	},
	{
		name:        "credential.key-file",
		help:        "File with a secret of at least 16 bytes, with which access keys are hashed before they are reported. Give all taps of a fleet the same file, so that they report the same hash for the same key. By default the hashes change with every start. Other users must not be able to read it.",
		placeholder: "FILE",
		value:       func(s *Settings) kingpin.Value { return text(&s.CredentialKeyFile) },
	},
	{
		name:        "credential.alias",
		help:        "Name under which an access key is reported: NAME=FILE, where the file contains the access key ID, or NAME=HASH with the hash that is reported for it, which needs --credential.key-file. Repeatable.",
		placeholder: "NAME=FILE|HASH",
		value:       func(s *Settings) kingpin.Value { return list(&s.CredentialAliases, parseAlias) },
	},
	{
		name:        "quota.limit",
		help:        "Limit of an action in calls per minute and credential, in place of the documented one: ACTION=N, or ACTION/VERSION=N for one version. 0 means no limit. Repeatable.",
		placeholder: "ACTION=N",
		value:       func(s *Settings) kingpin.Value { return list(&s.QuotaLimits, parseQuota) },
	},
	{
		name: "resign.listen-address", placeholder: "ADDRESS",
		help:  "Re-signing address, for programs that can be configured with another endpoint but not with a proxy: their calls are signed again and sent to --resign.upstream. Other addresses than loopback need --resign.client-ca-file or --resign.allow. Repeatable.",
		value: func(s *Settings) kingpin.Value { return addresses(&s.Resign.Listen) },
	},
	{
		name: "resign.upstream", fallback: []string{"https://monitor.api.ksyun.com"},
		help:        "Where calls to --resign.listen-address are sent. It must be a tapped host.",
		placeholder: "URL",
		value:       func(s *Settings) kingpin.Value { return scalar[*url.URL]{&s.Resign.Upstream, parseOrigin} },
	},
	{
		name: "resign.region", fallback: []string{"cn-beijing-6"},
		help:  "Region to sign for if a call's signature names none.",
		value: func(s *Settings) kingpin.Value { return text(&s.Resign.Region) },
	},
	{
		name: "resign.service", fallback: []string{"monitor"},
		help:  "Service to sign for if a call's signature names none.",
		value: func(s *Settings) kingpin.Value { return text(&s.Resign.Service) },
	},
	{
		name:        "resign.credentials-file",
		help:        "YAML or JSON file with the credentials to sign with: access_key, secret_key and, optionally, security_token. Other users must not be able to read it. Changes are applied within seconds. By default the credentials are KSYUN_ACCESS_KEY, KSYUN_SECRET_KEY and KSYUN_SECURITY_TOKEN.",
		placeholder: "FILE",
		value:       func(s *Settings) kingpin.Value { return text(&s.Resign.CredentialsFile) },
	},
	{
		name:        "resign.client-key-file",
		help:        "File in the same format with a made-up key, with which programs must sign their calls. By default their signatures are not verified.",
		placeholder: "FILE",
		value:       func(s *Settings) kingpin.Value { return text(&s.Resign.ClientKeyFile) },
	},
	{
		name:        "resign.cert-file",
		help:        "PEM file with the certificate for TLS on --resign.listen-address. It is read for each connection, like its key and the client CA.",
		placeholder: "FILE",
		value:       func(s *Settings) kingpin.Value { return text(&s.Resign.CertFile) },
	},
	{
		name:        "resign.key-file",
		help:        "PEM file with the key of --resign.cert-file.",
		placeholder: "FILE",
		value:       func(s *Settings) kingpin.Value { return text(&s.Resign.KeyFile) },
	},
	{
		name:        "resign.client-ca-file",
		help:        "PEM file with the CA of the client certificates that programs must present (mutual TLS).",
		placeholder: "FILE",
		value:       func(s *Settings) kingpin.Value { return text(&s.Resign.ClientCAFile) },
	},
	{
		name:        "resign.allow",
		help:        "Network from which programs may connect to --resign.listen-address, such as 10.1.0.0/16. By default all may. Repeatable.",
		placeholder: "CIDR",
		value:       func(s *Settings) kingpin.Value { return list(&s.Resign.Allow, ParsePrefix) },
	},
	{
		name: "upstream.connect-to", reload: &routing,
		help:        "Connect to ADDR:PORT instead of HOST:PORT, like curl's --connect-to. The only way to use an upstream on a loopback address. Repeatable.",
		placeholder: "HOST:PORT=ADDR:PORT",
		value:       func(s *Settings) kingpin.Value { return list(&s.ConnectTo, upstream.ParseConnectTo) },
	},
	{
		name: "upstream.ca-file", reload: &routing,
		help:        "PEM file with CA certificates to trust in addition to the system's.",
		placeholder: "FILE",
		value:       func(s *Settings) kingpin.Value { return text(&s.UpstreamCAFile) },
	},
	{
		name: "upstream.scheme", fallback: []string{"as-client"}, reload: &routing,
		help:  "as-client keeps the scheme of the program; https sends calls that arrive over plain HTTP over TLS, with verification.",
		value: func(s *Settings) kingpin.Value { return oneOf(&s.UpstreamScheme, "as-client", "https") },
	},
	{
		name: "upstream.resolver", reload: &routing,
		help:        "DNS server for the API's addresses, which bypasses the hosts file. For setups in which the API's host name resolves to the tap.",
		placeholder: "IP[:PORT]",
		value:       func(s *Settings) kingpin.Value { return scalar[upstream.DNS]{&s.Resolver, upstream.ParseDNS} },
	},
	{
		name: "upstream.mark", fallback: []string{"0"}, reload: &routing,
		help:  "Mark to set on connections to the API (SO_MARK), such as 0x6b73, so that the rules of init-redirect can exclude them. Needs CAP_NET_ADMIN. 0 sets none.",
		value: func(s *Settings) kingpin.Value { return Mark(&s.UpstreamMark) },
	},
	{
		name: "upstream.dial-timeout", fallback: []string{collector.DefaultTimeouts().Dial.String()},
		help:  "Timeout for connecting to the API, including name resolution but not TLS.",
		value: func(s *Settings) kingpin.Value { return positive(&s.ProxyTimeouts.Dial) },
	},
	{
		name: "upstream.response-timeout", fallback: []string{collector.DefaultTimeouts().Response.String()},
		help:  "Timeout for the first byte of the API's response.",
		value: func(s *Settings) kingpin.Value { return positive(&s.ProxyTimeouts.Response) },
	},
	{
		name: "log.level", fallback: []string{"info"}, reload: &logLevel,
		help:  "Log level: debug, info, warn or error.",
		value: func(s *Settings) kingpin.Value { return oneOf(&s.LogLevel, "debug", "info", "warn", "error") },
	},
	{
		name: "log.format", fallback: []string{logs.FormatJSON},
		help:  "Log format: json, logfmt or console.",
		value: func(s *Settings) kingpin.Value { return oneOf(&s.LogFormat, logs.Formats()...) },
	},
	{
		name:        "log.file",
		help:        "File to append the log to instead of standard error. It is reopened on SIGHUP and SIGUSR1. - and /dev/stdout mean standard output, /dev/stderr standard error. A named pipe works even before it has a reader.",
		placeholder: "FILE",
		value:       func(s *Settings) kingpin.Value { return text(&s.LogFile) },
	},
	{
		name: "log.access", fallback: []string{"false"},
		help:  "Log every call, not only failed ones.",
		value: func(s *Settings) kingpin.Value { return boolean(&s.LogAccess) },
	},
	{
		name: "traces.success-ratio", fallback: []string{"0.01"}, reload: &successRatio,
		help:  "Share of successful calls whose spans are exported, from 0 to 1. Spans of failed calls are always exported. OTEL_* variables configure the exporter.",
		value: func(s *Settings) kingpin.Value { return ratio(&s.TracesSuccessRatio) },
	},
	{
		name: "check-path.interval", fallback: []string{"0s"},
		help:  "How often to send one unsigned call through the tap to check the path to the API (ksyun_tap_path_check_*). It is not counted as a call. 0s means never.",
		value: func(s *Settings) kingpin.Value { return notNegative(&s.CheckInterval) },
	},
	{
		name: "check-path.target", fallback: []string{DefaultCheckTarget},
		help:        "URL of the API for the path check, with the scheme that programs use.",
		placeholder: "URL",
		value:       func(s *Settings) kingpin.Value { return scalar[*url.URL]{&s.CheckTarget, parseOrigin} },
	},
	{
		name: "journal.size", fallback: []string{"1000"},
		help:  "Number of recent failures to keep for look-up, in memory and in --journal.path.",
		value: func(s *Settings) kingpin.Value { return count(&s.JournalSize) },
	},
	{
		name:        "journal.path",
		help:        "File in which recent failures survive a restart or a crash. Each tap needs a file of its own. By default they are kept in memory only.",
		placeholder: "FILE",
		value:       func(s *Settings) kingpin.Value { return text(&s.JournalPath) },
	},
	{
		name: "journal.max-bytes", fallback: []string{"64MiB"},
		help:  "Maximum size of --journal.path. The oldest failures are deleted to stay below it. A file that is larger already does not shrink. 0 sets no limit.",
		value: func(s *Settings) kingpin.Value { return sizeOrNone(&s.JournalMaxBytes) },
	},
	{
		name: "journal.max-age", fallback: []string{"168h"},
		help:  "How long failures are kept in --journal.path. 0s sets no limit.",
		value: func(s *Settings) kingpin.Value { return notNegative(&s.JournalMaxAge) },
	},
	{
		name: "evidence", fallback: []string{"false"},
		help:  "Keep what failing exchanges looked like on the wire, for the HAR files of exec --report and /api/v1/failures/{id}/har: header fields of an allowlist, and bodies with the values of an allowlist of fields. All other values are replaced by their types. In memory only, of at most --journal.size failures.",
		value: func(s *Settings) kingpin.Value { return boolean(&s.Evidence) },
	},
	{
		name: "evidence.body-size", fallback: []string{"16KiB"},
		help:  "How many bytes of each body are kept as evidence, up to --tap.inspect-size.",
		value: func(s *Settings) kingpin.Value { return size(&s.EvidenceBodyBytes) },
	},
	{
		name:        "evidence.header",
		help:        "Header field whose value is kept as evidence in addition to those of the default allowlist. Fields with credentials are never kept. Repeatable.",
		placeholder: "NAME",
		value:       func(s *Settings) kingpin.Value { return list(&s.EvidenceHeaders, parseText) },
	},
	{
		name:        "evidence.field",
		help:        "Field of JSON, XML and forms whose value is kept as evidence in addition to those of the default allowlist, such as InstanceID. What looks like a secret is redacted in any case. Repeatable.",
		placeholder: "NAME",
		value:       func(s *Settings) kingpin.Value { return list(&s.EvidenceFields, parseText) },
	},
	{
		name: "evidence.max-bytes", fallback: []string{"16MiB"},
		help:  "Maximum memory for evidence. The oldest is deleted to stay below it.",
		value: func(s *Settings) kingpin.Value { return memory(&s.EvidenceMaxBytes) },
	},
	{
		name: "evidence.max-age", fallback: []string{"24h"},
		help:  "How long evidence is kept.",
		value: func(s *Settings) kingpin.Value { return positive(&s.EvidenceMaxAge) },
	},
	{
		name: "lookup.dns", lookup: true, placeholder: "HOST:PORT",
		help:  "DNS name of taps, such as a headless Service, and the port of their web listeners: ksyun-tap lookup queries all of its addresses. https://HOST:PORT if they serve TLS. Repeatable.",
		value: func(s *Settings) kingpin.Value { return list(&s.Lookup.DNS, lookup.ParseAddresses) },
	},
	{
		name: "lookup.jaeger", lookup: true, placeholder: "URL",
		help:  "Jaeger 1 or 2 that ksyun-tap lookup queries, by the API of its page (/api/traces). Repeatable.",
		value: func(s *Settings) kingpin.Value { return list(&s.Lookup.Jaeger, lookup.ParseURL) },
	},
	{
		name: "lookup.jaeger-v3", lookup: true, placeholder: "URL",
		help:  "Jaeger that ksyun-tap lookup queries by /api/v3, by which most versions find a call by trace ID only. Repeatable.",
		value: func(s *Settings) kingpin.Value { return list(&s.Lookup.JaegerV3, lookup.ParseURL) },
	},
	{
		name: "lookup.jaeger-service", lookup: true, fallback: []string{"ksyun-tap"}, placeholder: "NAME",
		help:  "service.name of the taps' spans (OTEL_SERVICE_NAME), which a search in Jaeger needs. Repeatable.",
		value: func(s *Settings) kingpin.Value { return list(&s.Lookup.JaegerServices, parseText) },
	},
	{
		name: "lookup.tempo", lookup: true, placeholder: "URL",
		help:  "Grafana Tempo that ksyun-tap lookup queries. Repeatable.",
		value: func(s *Settings) kingpin.Value { return list(&s.Lookup.Tempo, lookup.ParseURL) },
	},
	{
		name: "lookup.loki", lookup: true, placeholder: "URL",
		help:  "Grafana Loki that ksyun-tap lookup queries. Repeatable.",
		value: func(s *Settings) kingpin.Value { return list(&s.Lookup.Loki, lookup.ParseURL) },
	},
	{
		name: "lookup.loki-selector", lookup: true, fallback: []string{`{service_name="ksyun-tap"}`}, placeholder: "SELECTOR",
		help:  "Selector of the taps' streams in LogQL.",
		value: func(s *Settings) kingpin.Value { return scalar[string]{&s.Lookup.LokiSelector, lookup.ParseSelector} },
	},
	{
		name: "lookup.victorialogs", lookup: true, placeholder: "URL",
		help:  "VictoriaLogs, a single node or the select nodes of a cluster, that ksyun-tap lookup queries. Repeatable.",
		value: func(s *Settings) kingpin.Value { return list(&s.Lookup.VictoriaLogs, lookup.ParseURL) },
	},
	{
		name: "lookup.elasticsearch", lookup: true, placeholder: "URL",
		help:  "Elasticsearch or OpenSearch that ksyun-tap lookup queries. The path of the URL is the index, a pattern of indices or a data stream; without it, all are searched. Repeatable.",
		value: func(s *Settings) kingpin.Value { return list(&s.Lookup.Elasticsearch, lookup.ParseURL) },
	},
	{
		name: "lookup.http-config.file", lookup: true, placeholder: "FILE",
		help:  "YAML file with credentials, header fields and TLS settings for what ksyun-tap lookup queries: for each HOST or HOST:PORT, an HTTP client configuration in Prometheus' format. Other users must not be able to read it. A user and a password may also be part of a URL.",
		value: func(s *Settings) kingpin.Value { return text(&s.Lookup.HTTPConfigFile) },
	},
}
