package config

import (
	"slices"

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
	fallback    string        // "" if there is no default
	value       kingpin.Value // sets the setting
	// lookup is whether the setting is one of the verb lookup and not of the tap.
	lookup bool
	// reload is what a reload changes to apply a new value; nil if that needs a
	// restart.
	reload *change
}

// table returns a row for each setting, whose values are those of s.
func (s *Settings) table() []setting {
	return []setting{
		{
			name: "config.file", value: text(&s.ConfigFile), placeholder: "FILE",
			help: "Configuration file (YAML). Its keys are the names of these flags. It is read again on SIGHUP and, with --web.enable-lifecycle, POST /-/reload.",
		},
		{
			name: "proxy.listen-address", value: addresses(&s.ProxyListen), fallback: DefaultProxyListen,
			help: "Address for programs whose calls are tapped: the proxy in HTTP_PROXY, or the address that the API's host name resolves to. Repeatable.",
		},
		{
			name: "proxy.tls-listen-address", value: addresses(&s.ProxyTLSListen), placeholder: "ADDRESS",
			help: "Address for programs that start with TLS, as on port 443 of the API's host. Needs --intercept. Repeatable.",
		},
		{
			name: "transparent.listen-address", value: addresses(&s.Transparent), placeholder: "ADDRESS",
			help: "Address to which the system redirects the connections of programs to ports 80 and 443, usually 127.0.0.1:18183 and [::1]:18183. Linux only; see ksyun-tap init-redirect. Repeatable.",
		},
		{
			name: "proxy.head-timeout", value: Positive(&s.ProxyTimeouts.ReadHead), fallback: collector.DefaultTimeouts().ReadHead.String(),
			help: "Timeout for a program to send the head of a request that it has begun.",
		},
		{
			name: "proxy.idle-timeout", value: Positive(&s.ProxyTimeouts.ClientIdle), fallback: collector.DefaultTimeouts().ClientIdle.String(),
			help: "How long a program's connection may be idle between requests.",
		},
		{
			name: "proxy.stall-timeout", value: Positive(&s.ProxyTimeouts.Stall), fallback: collector.DefaultTimeouts().Stall.String(),
			help: "How long a read or write of a body may make no progress.",
		},
		{
			name: "proxy.max-connections", value: Number(&s.MaxConnections, 0, maxCount), fallback: "0",
			help: "Maximum number of open connections of programs. A connection beyond it replaces the one that has been idle for the longest or, if none is idle, is answered with status 503 and closed; without a response on listeners for TLS and redirected connections. 0 means as many as the limits of file descriptors and memory allow; more than file descriptors allow is lowered to that.",
		},
		{
			name: "proxy.buffer-limit", value: sizeOrNone(&s.BufferLimit), fallback: "0",
			help: "Maximum memory for buffers. When it is used up, bodies are relayed without being inspected, and requests with a head larger than 8 KiB, or a large body to be signed again, are answered with status 503. 0 means a quarter of the memory limit (GOMEMLIMIT or the cgroup's), if there is one.",
		},
		{
			name: "proxy.shutdown-timeout", value: Positive(&s.ShutdownTimeout), fallback: "10s",
			help: "How long to wait for running calls after SIGTERM before they are cut off. Logs and spans get another 1.4s to be flushed.",
		},
		{
			name: "web.listen-address", value: addresses(&s.WebListen), fallback: DefaultWebListen,
			help: "Address of the web listener: metrics and health and, without --web.admin-listen-address, the page of failures and its API. Repeatable.",
		},
		{
			name: "web.admin-listen-address", value: addresses(&s.AdminListen), placeholder: "ADDRESS",
			help: "Address of the page of failures, its API, reload and profiles, which are then not served at --web.listen-address. It also has metrics and health, and may be one of the addresses of --web.listen-address. By default all are served there, which must be loopback addresses unless there is a --web.config.file. Repeatable.",
		},
		{
			name: "web.enable-lifecycle", value: boolean(&s.EnableLifecycle), fallback: "false",
			help: "Enable reload by POST /-/reload. SIGHUP always reloads.",
		},
		{
			name: "web.enable-pprof", value: boolean(&s.EnablePprof), fallback: "false",
			help: "Serve profiles of the tap at /debug/pprof/.",
		},
		{
			name: "web.config.file", value: text(&s.WebConfigFile), placeholder: "FILE",
			help: "File that configures TLS and basic authentication for --web.listen-address and --web.admin-listen-address, in the format of Prometheus' exporter-toolkit. /-/healthy and /-/ready need no authentication.",
		},
		{
			name: "web.trace-url", value: Parsed(&s.TraceURL, web.ParseOutLink), placeholder: "URL",
			help: "Link from the page of a failure to its trace, such as https://jaeger.example.com/trace/{trace_id}. Placeholders: " + placeholders() + ". from_ms and to_ms are 5 minutes before and after the attempt, in milliseconds since 1970.",
		},
		{
			name: "web.logs-url", value: Parsed(&s.LogsURL, web.ParseOutLink), placeholder: "URL",
			help: "Link from the page of a failure to its log lines, with the placeholders of --web.trace-url.",
		},
		{
			name: "tap.host", value: HostPatterns(&s.TapHosts), fallback: DefaultTapHost, reload: &routing,
			help: "Host whose calls are observed: a name, or *.DOMAIN for all names below a domain. Repeatable.",
		},
		{
			name: "tap.other-hosts", value: &s.OtherHosts, fallback: "refuse", placeholder: "refuse|forward|pass", reload: &routing,
			help: "What to do with requests to hosts that match no --tap.host: refuse them; forward them unobserved to ports 80 and 443, except to loopback and link-local addresses; or pass them unobserved to any port and address, for listeners that only one program can reach, as in a pod. forward and pass need loopback listeners.",
		},
		{
			name: "tap.inspect-size", value: prefixSize(&s.InspectBytes), fallback: "64KiB",
			help: "How many bytes of each body are inspected to classify a call. Bodies of any size are relayed completely.",
		},
		{
			name: "tap.catalog-file", value: List(&s.CatalogFiles, parseText), placeholder: "FILE", reload: &routing,
			help: "File with additional error codes, which are added to the catalogue or replace its entries. Repeatable.",
		},
		{
			name: "intercept", value: boolean(&s.Intercept), fallback: "false",
			help: "Intercept TLS to tapped hosts with certificates of a local CA that programs must trust (see --intercept.ca-dir).",
		},
		{
			name: "intercept.ca-dir", value: text(&s.CADir), placeholder: "DIR",
			help: "Directory of the local CA: its key, ca.pem (the CA alone) and bundle.pem (with the system's roots). Created with mode 0700.",
		},
		{
			name: "intercept.publish-dir", value: text(&s.PublishDir), placeholder: "DIR",
			help: "Directory for ca.pem and bundle.pem instead of --intercept.ca-dir, so that programs of other users or in other containers can read them without access to the key.",
		},
		{
			name: "csm.listen-address", value: address(&s.CSMListen), placeholder: "ADDRESS",
			help: "UDP address for the client-side monitoring records of the Go SDK v1 (AWS_CSM_ENABLED=true), usually " + csm.DefaultAddress + ". Off by default.",
		},
		{
			name: "credential.key-file", value: text(&s.CredentialKeyFile), placeholder: "FILE",
			help: "File with a secret of at least 16 bytes, with which access keys are hashed before they are reported. Give all taps of a fleet the same file, so that they report the same hash for the same key. By default the hashes change with every start. Other users must not be able to read it.",
		},
		{
			name: "credential.alias", value: List(&s.CredentialAliases, parseAlias), placeholder: "NAME=FILE|HASH",
			help: "Name under which an access key is reported: NAME=FILE, where the file contains the access key ID, or NAME=HASH with the hash that is reported for it, which needs --credential.key-file. Repeatable.",
		},
		{
			name: "quota.limit", value: List(&s.QuotaLimits, parseQuota), placeholder: "ACTION=N",
			help: "Limit of an action in calls per minute and credential, in place of the documented one: ACTION=N, or ACTION/VERSION=N for one version. 0 means no limit. Repeatable.",
		},
		{
			name: "resign.listen-address", value: addresses(&s.Resign.Listen), placeholder: "ADDRESS",
			help: "Re-signing address, for programs that can be configured with another endpoint but not with a proxy: their calls are signed again and sent to --resign.upstream. Other addresses than loopback need --resign.client-ca-file or --resign.allow. Repeatable.",
		},
		{
			name: "resign.upstream", value: Parsed(&s.Resign.Upstream, parseOrigin), fallback: "https://monitor.api.ksyun.com", placeholder: "URL",
			help: "Where calls to --resign.listen-address are sent. It must be a tapped host.",
		},
		{
			name: "resign.region", value: text(&s.Resign.Region), fallback: "cn-beijing-6",
			help: "Region to sign for if a call's signature names none.",
		},
		{
			name: "resign.service", value: text(&s.Resign.Service), fallback: "monitor",
			help: "Service to sign for if a call's signature names none.",
		},
		{
			name: "resign.credentials-file", value: text(&s.Resign.CredentialsFile), placeholder: "FILE",
			help: "YAML or JSON file with the credentials to sign with: access_key, secret_key and, optionally, security_token. Other users must not be able to read it. Changes are applied within seconds. By default the credentials are KSYUN_ACCESS_KEY, KSYUN_SECRET_KEY and KSYUN_SECURITY_TOKEN.",
		},
		{
			name: "resign.client-key-file", value: text(&s.Resign.ClientKeyFile), placeholder: "FILE",
			help: "File in the same format with a made-up key, with which programs must sign their calls. By default their signatures are not verified.",
		},
		{
			name: "resign.cert-file", value: text(&s.Resign.CertFile), placeholder: "FILE",
			help: "PEM file with the certificate for TLS on --resign.listen-address. It is read for each connection, like its key and the client CA.",
		},
		{
			name: "resign.key-file", value: text(&s.Resign.KeyFile), placeholder: "FILE",
			help: "PEM file with the key of --resign.cert-file.",
		},
		{
			name: "resign.client-ca-file", value: text(&s.Resign.ClientCAFile), placeholder: "FILE",
			help: "PEM file with the CA of the client certificates that programs must present (mutual TLS).",
		},
		{
			name: "resign.allow", value: List(&s.Resign.Allow, ParsePrefix), placeholder: "CIDR",
			help: "Network from which programs may connect to --resign.listen-address, such as 10.1.0.0/16. By default all may. Repeatable.",
		},
		{
			name: "upstream.connect-to", value: List(&s.ConnectTo, upstream.ParseConnectTo), placeholder: "HOST:PORT=ADDR:PORT", reload: &routing,
			help: "Connect to ADDR:PORT instead of HOST:PORT, like curl's --connect-to. The only way to use an upstream on a loopback address. Repeatable.",
		},
		{
			name: "upstream.ca-file", value: text(&s.UpstreamCAFile), placeholder: "FILE", reload: &routing,
			help: "PEM file with CA certificates to trust in addition to the system's.",
		},
		{
			name: "upstream.scheme", value: OneOf(&s.UpstreamScheme, "as-client", "https"), fallback: "as-client", reload: &routing,
			help: "as-client keeps the scheme of the program; https sends calls that arrive over plain HTTP over TLS, with verification.",
		},
		{
			name: "upstream.resolver", value: Parsed(&s.Resolver, upstream.ParseDNS), placeholder: "IP[:PORT]", reload: &routing,
			help: "DNS server for the API's addresses, which bypasses the hosts file. For setups in which the API's host name resolves to the tap.",
		},
		{
			name: "upstream.mark", value: Mark(&s.UpstreamMark), fallback: "0", reload: &routing,
			help: "Mark to set on connections to the API (SO_MARK), such as 0x6b73, so that the rules of init-redirect can exclude them. Needs CAP_NET_ADMIN. 0 sets none.",
		},
		{
			name: "upstream.dial-timeout", value: Positive(&s.ProxyTimeouts.Dial), fallback: collector.DefaultTimeouts().Dial.String(),
			help: "Timeout for connecting to the API, including name resolution and the response of an upstream proxy, but not TLS with the API.",
		},
		{
			name: "upstream.response-timeout", value: Positive(&s.ProxyTimeouts.Response), fallback: collector.DefaultTimeouts().Response.String(),
			help: "Timeout for the first byte of the API's response.",
		},
		{
			name: "log.level", value: OneOf(&s.LogLevel, "debug", "info", "warn", "error"), fallback: "info", reload: &logLevel,
			help: "Log level: debug, info, warn or error.",
		},
		{
			name: "log.format", value: OneOf(&s.LogFormat, logs.Formats()...), fallback: logs.FormatJSON,
			help: "Log format: json, logfmt or console.",
		},
		{
			name: "log.file", value: text(&s.LogFile), placeholder: "FILE",
			help: "File to append the log to instead of standard error. It is reopened on SIGHUP and SIGUSR1. - and /dev/stdout mean standard output, /dev/stderr standard error. A named pipe works even before it has a reader.",
		},
		{
			name: "log.access", value: boolean(&s.LogAccess), fallback: "false",
			help: "Log every call, not only failed ones.",
		},
		{
			name: "traces.success-ratio", value: ratio(&s.TracesSuccessRatio), fallback: "0.01", reload: &successRatio,
			help: "Share of successful calls whose spans are exported, from 0 to 1. Spans of failed calls are always exported. OTEL_* variables configure the exporter.",
		},
		{
			name: "check-path.interval", value: NotNegative(&s.CheckInterval), fallback: "0s",
			help: "How often to send one unsigned call through the tap to check the path to the API (ksyun_tap_path_check_*). It is not counted as a call. 0s means never.",
		},
		{
			name: "check-path.target", value: Parsed(&s.CheckTarget, parseOrigin), fallback: DefaultCheckTarget, placeholder: "URL",
			help: "URL of the API for the path check, with the scheme that programs use.",
		},
		{
			name: "journal.size", value: Number(&s.JournalSize, 1, maxCount), fallback: "1000",
			help: "Number of recent failures to keep for look-up, in memory and in --journal.path.",
		},
		{
			name: "journal.path", value: text(&s.JournalPath), placeholder: "FILE",
			help: "File in which recent failures survive a restart or a crash. Each tap needs a file of its own. By default they are kept in memory only.",
		},
		{
			name: "journal.max-bytes", value: sizeOrNone(&s.JournalMaxBytes), fallback: "64MiB",
			help: "Maximum size of --journal.path. The oldest failures are deleted to stay below it. A file that is larger already does not shrink. 0 sets no limit.",
		},
		{
			name: "journal.max-age", value: NotNegative(&s.JournalMaxAge), fallback: "168h",
			help: "How long failures are kept in --journal.path. 0s sets no limit.",
		},
		{
			name: "evidence", value: boolean(&s.Evidence), fallback: "false",
			help: "Keep what failing exchanges looked like on the wire, for the HAR files of exec --report and /api/v1/failures/{id}/har: header fields of an allowlist, and bodies with the values of an allowlist of fields. All other values are replaced by their types. In memory only, of at most --journal.size failures.",
		},
		{
			name: "evidence.body-size", value: prefixSize(&s.EvidenceBodyBytes), fallback: "16KiB",
			help: "How many bytes of each body are kept as evidence, up to --tap.inspect-size.",
		},
		{
			name: "evidence.header", value: List(&s.EvidenceHeaders, parseText), placeholder: "NAME",
			help: "Header field whose value is kept as evidence in addition to those of the default allowlist. Fields with credentials are never kept. Repeatable.",
		},
		{
			name: "evidence.field", value: List(&s.EvidenceFields, parseText), placeholder: "NAME",
			help: "Field of JSON, XML and forms whose value is kept as evidence in addition to those of the default allowlist, such as InstanceID. What looks like a secret is redacted in any case. Repeatable.",
		},
		{
			name: "evidence.max-bytes", value: size(&s.EvidenceMaxBytes), fallback: "16MiB",
			help: "Maximum memory for evidence. The oldest is deleted to stay below it.",
		},
		{
			name: "evidence.max-age", value: Positive(&s.EvidenceMaxAge), fallback: "24h",
			help: "How long evidence is kept.",
		},
		{
			name: "lookup.dns", value: List(&s.Lookup.DNS, lookup.ParseAddresses), placeholder: "HOST:PORT", lookup: true,
			help: "DNS name of taps, such as a headless Service, and the port of their web listeners: ksyun-tap lookup queries all of its addresses. https://HOST:PORT if they serve TLS. Repeatable.",
		},
		{
			name: "lookup.jaeger", value: List(&s.Lookup.Jaeger, lookup.ParseURL), placeholder: "URL", lookup: true,
			help: "Jaeger 1 or 2 that ksyun-tap lookup queries, by the API of its page (/api/traces). Repeatable.",
		},
		{
			name: "lookup.jaeger-v3", value: List(&s.Lookup.JaegerV3, lookup.ParseURL), placeholder: "URL", lookup: true,
			help: "Jaeger that ksyun-tap lookup queries by /api/v3, by which most versions find a call by trace ID only. Repeatable.",
		},
		{
			name: "lookup.jaeger-service", value: List(&s.Lookup.JaegerServices, parseText), fallback: "ksyun-tap", placeholder: "NAME", lookup: true,
			help: "service.name of the taps' spans (OTEL_SERVICE_NAME), which a search in Jaeger needs. Repeatable.",
		},
		{
			name: "lookup.tempo", value: List(&s.Lookup.Tempo, lookup.ParseURL), placeholder: "URL", lookup: true,
			help: "Grafana Tempo that ksyun-tap lookup queries. Repeatable.",
		},
		{
			name: "lookup.loki", value: List(&s.Lookup.Loki, lookup.ParseURL), placeholder: "URL", lookup: true,
			help: "Grafana Loki that ksyun-tap lookup queries. Repeatable.",
		},
		{
			name: "lookup.loki-selector", value: Parsed(&s.Lookup.LokiSelector, lookup.ParseSelector), fallback: `{service_name="ksyun-tap"}`, placeholder: "SELECTOR", lookup: true,
			help: "Selector of the taps' streams in LogQL.",
		},
		{
			name: "lookup.victorialogs", value: List(&s.Lookup.VictoriaLogs, lookup.ParseURL), placeholder: "URL", lookup: true,
			help: "VictoriaLogs, a single node or the select nodes of a cluster, that ksyun-tap lookup queries. Repeatable.",
		},
		{
			name: "lookup.elasticsearch", value: List(&s.Lookup.Elasticsearch, lookup.ParseURL), placeholder: "URL", lookup: true,
			help: "Elasticsearch or OpenSearch that ksyun-tap lookup queries. The path of the URL is the index, a pattern of indices or a data stream; without it, all are searched. Repeatable.",
		},
		{
			name: "lookup.http-config.file", value: text(&s.Lookup.HTTPConfigFile), placeholder: "FILE", lookup: true,
			help: "YAML file with credentials, header fields and TLS settings for what ksyun-tap lookup queries: for each HOST or HOST:PORT, an HTTP client configuration in Prometheus' format. Other users must not be able to read it. A user and a password may also be part of a URL.",
		},
	}
}

// find returns the index of a setting in the table, or -1.
func find(name string) int { return slices.Index(names(), name) }

// names returns the names of all settings.
func names() (all []string) {
	for _, row := range new(Settings).table() {
		all = append(all, row.name)
	}
	return all
}
