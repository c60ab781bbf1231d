package metrics

import (
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// Family describes one metric family of ksyun-tap. The reference documentation
// is generated from it.
type Family struct {
	Name   string
	Type   string   // "counter", "gauge" or "histogram"
	Labels []string // label names in the order of the exposition; nil if there are none
	Help   string
}

// The metric families, in the order of the documentation. The metrics are created from
// these values, so the documentation cannot differ from the exposition. The exported
// families are collected by other packages (see NewCollector).
var ( //nolint:goconst // a table: label names are best read in place
	famRequests = newCounter("ksyun_api_requests_total",
		"Total number of attempted API calls, by outcome and HTTP status.",
		"service", "action", "version", "region", "outcome", "status")
	famErrors = newCounter("ksyun_api_errors_total",
		"Total number of failed API call attempts, by the vendor's error code, category, and who is to blame.",
		"service", "action", "version", "region", "code", "type", "status", "category", "blame")
	famAttempts = newCounter("ksyun_api_attempts_total",
		"Total number of attempts that count towards availability, by cause of failure. The labels category and blame are \"none\" for a success. Dry runs and calls canceled by the program are not counted. All series of a service are initialized to 0.",
		"service", "category", "blame")
	famDuration = newHistogram("ksyun_api_request_duration_seconds",
		"Time from the first byte of the request to the last byte of the response, in seconds.",
		"service", "action", "outcome")
	famInFlight = newGauge("ksyun_api_requests_in_flight",
		"Number of attempts in progress.",
		"service")
	famPartial = newCounter("ksyun_api_partial_failed_items_total",
		"Total number of items reported as failed in partial responses.",
		"service", "action")
	famIncomplete = newCounter("ksyun_api_incomplete_results_total",
		"Total number of successful responses with no data points, or with old data or only a first page, by reason. They are not failures. Old data and first pages are looked for in a sample of 64 responses a second.",
		"service", "action", "reason")
	famLastError = newGauge("ksyun_api_last_error_timestamp_seconds",
		"Unix timestamp in seconds of the last failed attempt, by category.",
		"service", "category")
	famLastSuccess = newGauge("ksyun_api_last_success_timestamp_seconds",
		"Unix timestamp in seconds of the last successful attempt; partial successes and dry runs count as successful. 0 before the first one.",
		"service")
	famSinceSuccess = newGauge("ksyun_api_errors_since_success",
		"Number of failed attempts since the last success of the service, by category.",
		"service", "category")

	ClockSkew = newGauge("ksyun_api_clock_skew_seconds",
		"Median difference in seconds between the clock a client signs with and the API's clock, over recent requests; positive if the client is ahead. Only the 16 clients with the largest skew are exposed. The client \"self\" is ksyun-tap itself, for requests it signs.",
		"client")

	ClockUncertainty = newGauge("ksyun_api_clock_skew_uncertainty_seconds",
		"Maximum error of ksyun_api_clock_skew_seconds in either direction, in seconds.",
		"client")

	ProgramInfo = newGauge("ksyun_api_program_info",
		"Always 1, for each program that called in the last 15 minutes, with how it signs and whether it uses TLS. The program is the first product of its User-Agent with the first two numbers of the version. Only the 32 with the most calls are exposed.",
		"program", "signing", "scheme")
	Calls = newCounter("ksyun_api_calls_total",
		"Total number of calls, by the outcome of their last attempt: success (of the only attempt), success_after_retry, failed or canceled. A call is one operation that a program wanted: one or more attempts. It is counted as failed 12 seconds after its last attempt, or 68 if that took longer than 3, because another one may follow.",
		"service", "action", "outcome")
	CallAttempts = newHistogram("ksyun_api_call_attempts",
		"Number of attempts per call.",
		"service", "action")
	Retries = newCounter("ksyun_api_retries_total",
		"Total number of attempts that repeat a failed one of the same call, by outcome: success, failed, wasted (refused again for a reason that a retry cannot fix) or throttled (throttled again, which adds to the load).",
		"service", "action", "outcome")
	RedundantCalls = newCounter("ksyun_api_redundant_calls_total",
		"Total number of successful calls of reading actions that asked for what another call had been answered with less than 60 seconds before, with the same credential, by reason: other_client or too_often (the same client). They could have been saved.",
		"service", "action", "reason")
	QuotaLimit = newGauge("ksyun_api_quota_limit_requests",
		"Limit of an action in calls per minute and credential, as documented by the vendor or set with --quota.limit. The service and the version are \"any\" if the limit is for all.",
		"service", "action", "version")
	QuotaUsed = newGauge("ksyun_api_quota_used_ratio",
		"Share of the limit of an action that the attempts with a credential through this tap used in the last 60 seconds; above 1 if there were more. Sum it over all taps that use the credential.",
		"credential", "action", "version")
	QuotaExhaustion = newGauge("ksyun_api_quota_exhaustion_seconds",
		"Time in seconds until the attempts of 60 seconds reach the limit, if those of the last 15 seconds continue at the same pace. Absent if they never do.",
		"credential", "action", "version")
	RequestSizeUsed = newGauge("ksyun_api_request_size_used_ratio",
		"Share of a documented limit on the size of a request that the largest request of the last 5 to 10 minutes used, by limit: metrics (in a batch) or records (the interval divided by the period, for each metric); above 1 if it asked for more. Only actions with such limits have it.",
		"credential", "action", "version", "limit")
	CredentialErrors = newCounter("ksyun_api_credential_errors_total",
		"Total number of failed attempts, by credential and category. The credential is the alias or the hash of the access key, \"none\" for attempts without one. The first 32 credentials have series of their own, until they have not been used for an hour and another needs the place; the others are counted as \"_other\".",
		"credential", "category")
	CredentialRefused = newGauge("ksyun_api_credential_refused",
		"Whether a credential that worked before is refused now (1) or not (0), by reason: key (it was deleted or disabled), token (it is a temporary key, whose security token has expired) or permission (an action that it was allowed is denied). Refused means at least 3 times in a row without a success.",
		"credential", "reason")

	Dropped = newCounter("ksyun_tap_observations_dropped_total",
		"Total number of observations that did not reach the output of a sink, by sink and reason.",
		"sink", "reason")
	famPushDropped = newCounter("ksyun_tap_push_dropped_total",
		"Total number of log records and of exports of metrics that did not reach the OpenTelemetry backend, by signal (logs or metrics) and reason.",
		"signal", "reason")
	famOverflow = newCounter("ksyun_tap_label_overflow_total",
		"Total number of observations counted under _other because a label or the number of series had reached its limit.",
		"label")
	famProxyErrors = newCounter("ksyun_tap_proxy_errors_total",
		"Total number of requests that were refused or did not get a complete response, by reason.",
		"reason")
	famReloadOK = newGauge("ksyun_tap_config_last_reload_successful",
		"Whether the last configuration load succeeded (1) or failed (0).")
	famReloadTime = newGauge("ksyun_tap_config_last_reload_success_timestamp_seconds",
		"Unix timestamp in seconds of the last successful configuration load.")
	famIgnoredVariables = newGauge("ksyun_tap_ignored_variables",
		"1 for each environment variable that is ignored because its value is invalid or its name is unknown. The reason is logged.",
		"variable")
	_ = newGauge("ksyun_tap_build_info", // of client_golang's collector
		"A metric with a constant '1' value labeled by version, revision, branch, goversion from which ksyun_tap was built, and the goos and goarch for the build.",
		"branch", "goarch", "goos", "goversion", "revision", "tags", "version")

	ClientConnections = newGauge("ksyun_tap_client_connections",
		"Number of open client connections.")
	ConnectionsAccepted = newCounter("ksyun_tap_client_connections_accepted_total",
		"Total number of accepted client connections.")
	ConnectionsRefused = newCounter("ksyun_tap_client_connections_refused_total",
		"Total number of client connections refused because the connection limit was reached: answered with 503, or closed without a response on listeners for TLS and redirected connections.")
	ConnectionsReclaimed = newCounter("ksyun_tap_client_connections_reclaimed_total",
		"Total number of client connections closed to make room for new ones, because they were idle or took long to send the head of a request or for a TLS handshake.")
	BufferBytes = newGauge("ksyun_tap_buffer_bytes",
		"Memory held by buffers in use, in bytes.")
	BytesReceived = newCounter("ksyun_tap_client_received_bytes_total",
		"Total number of bytes received from clients.")
	BytesSent = newCounter("ksyun_tap_client_sent_bytes_total",
		"Total number of bytes sent to clients.")
	UpstreamConnections = newGauge("ksyun_tap_upstream_connections",
		"Number of open upstream connections to the API.")
	Dials = newCounter("ksyun_tap_upstream_dials_total",
		"Total number of upstream connections dialed to the API.")
	Panics = newCounter("ksyun_tap_panics_total",
		"Total number of panics recovered while relaying.")
	Unobserved = newCounter("ksyun_tap_unobserved_requests_total",
		"Total number of requests relayed without being observed.")
	Unread = newCounter("ksyun_tap_unread_bodies_total",
		"Total number of request and response bodies that were not inspected completely, by reason. Errors in the part that was not inspected were missed.",
		"reason")

	Intercepted = newCounter("ksyun_tap_intercepted_connections_total",
		"Total number of connections on which ksyun-tap terminated TLS and received a request.")
	Tunnels = newCounter("ksyun_tap_tunnels_total",
		"Total number of connections forwarded as opaque tunnels, requested with CONNECT or redirected transparently.")
	TappedTunnels = newCounter("ksyun_tap_tapped_tunnels_total",
		"Total number of tunnels to tapped hosts that were not intercepted; their calls went unobserved.")
	OpenTunnels = newGauge("ksyun_tap_tunnels_open",
		"Number of open tunnels.")
	HandshakeErrors = newCounter("ksyun_tap_intercept_handshake_errors_total",
		"Total number of TLS handshakes for interception that failed or were not followed by a request, by reason.",
		"reason")
	CANotAfter = newGauge("ksyun_tap_ca_not_after_timestamp_seconds",
		"Unix timestamp in seconds at which the last interception CA expires. Present only if interception is enabled.")

	TransparentRefused = newCounter("ksyun_tap_transparent_connections_refused_total",
		"Total number of connections reset by the transparent listener, by reason: direct (the connection was not redirected) or loop (ksyun-tap opened the connection itself).",
		"reason")

	CSMDatagrams = newCounter("ksyun_tap_csm_datagrams_total",
		"Total number of SDK telemetry datagrams received. The ksyun_tap_csm_* metrics are present only if the telemetry listener is enabled.")
	CSMAttempts = newCounter("ksyun_tap_csm_attempts_total",
		"Total number of attempt records received from SDKs.")
	CSMAnnounced = newCounter("ksyun_tap_csm_attempts_announced_total",
		"Total number of attempts that SDKs reported having made. The difference to ksyun_tap_csm_attempts_total is the number of records lost in transit.")
	CSMDuplicates = newCounter("ksyun_tap_csm_duplicates_total",
		"Total number of attempt records discarded because the proxy had already observed the attempt.")
	CSMRejected = newCounter("ksyun_tap_csm_rejected_total",
		"Total number of datagrams rejected because they were not a record of a known type.")

	ResignRefused = newCounter("ksyun_tap_resign_connections_refused_total",
		"Total number of connections refused at the re-signing address, by reason: address or tls. The ksyun_tap_resign_* metrics are present only if re-signing is enabled.",
		"reason")
	ResignReloadOK = newGauge("ksyun_tap_resign_credentials_last_reload_successful",
		"Whether the last load of the signing credentials succeeded (1) or failed (0).")
	ResignReloadTime = newGauge("ksyun_tap_resign_credentials_last_reload_success_timestamp_seconds",
		"Unix timestamp in seconds at which the signing credentials were first loaded or last changed.")

	PathSuccess = newGauge("ksyun_tap_path_check_success",
		"Whether the last check of the path to the API succeeded (1) or failed (0). The ksyun_tap_path_check_* metrics are present only if --check-path.interval is set.")
	PathFailed = newGauge("ksyun_tap_path_check_failed",
		"1 for the stage at which the last path check failed, 0 for all other stages.",
		"stage")
	PathTime = newGauge("ksyun_tap_path_check_last_success_timestamp_seconds",
		"Unix timestamp in seconds of the last successful path check.")
	PathDuration = newGauge("ksyun_tap_path_check_duration_seconds",
		"Duration of the last path check in seconds.")

	QueueLength = newGauge("ksyun_tap_queue_length",
		"Number of observations queued for the journal, logs and traces.")
	QueueCapacity = newGauge("ksyun_tap_queue_capacity",
		"Maximum number of observations queued for the journal, logs and traces.")
	JournalEntries = newGauge("ksyun_tap_journal_entries",
		"Number of failures in the journal.")
	JournalCapacity = newGauge("ksyun_tap_journal_capacity",
		"Maximum number of failures the journal keeps.")
	JournalEvicted = newCounter("ksyun_tap_journal_evicted_total",
		"Total number of failures evicted from the journal to make room for newer ones.")
	JournalFileHealthy = newGauge("ksyun_tap_journal_file_healthy",
		"Whether the last attempt to open or write the journal's file succeeded (1) or failed (0). The ksyun_tap_journal_file_* and ksyun_tap_journal_write* metrics are present only if --journal.path is set.")
	JournalFileEntries = newGauge("ksyun_tap_journal_file_entries",
		"Number of failures in the journal's file. 0 while it cannot be opened.")
	JournalFileBytes = newGauge("ksyun_tap_journal_file_bytes",
		"Size of the journal's file in bytes. 0 while it cannot be opened.")
	JournalWritten = newCounter("ksyun_tap_journal_written_total",
		"Total number of failures written to the journal's file.")
	JournalWriteLost = newCounter("ksyun_tap_journal_write_lost_total",
		"Total number of failures that were dropped before they were written to the journal's file, because it could not be written or too many waited. They were still added to the journal in memory.")
	JournalWriteFailures = newCounter("ksyun_tap_journal_write_failures_total",
		"Total number of failed attempts to open or write the journal's file.")
	JournalCorrupt = newCounter("ksyun_tap_journal_file_corrupt_total",
		"Total number of times that the journal's file was found corrupt and renamed.")
	EvidenceEntries = newGauge("ksyun_tap_evidence_entries",
		"Number of failures whose exchange is kept as evidence. The ksyun_tap_evidence_* metrics are present only if --evidence is set.")
	EvidenceBytes = newGauge("ksyun_tap_evidence_bytes",
		"Approximate memory of the evidence in bytes.")
	EvidenceEvicted = newCounter("ksyun_tap_evidence_evicted_total",
		"Total number of exchanges that were deleted because they were too old or there were too many.")
	FailureGroups = newGauge("ksyun_tap_failure_groups",
		"Number of groups of equal failures.")
	FailureGroupsEvicted = newCounter("ksyun_tap_failure_groups_evicted_total",
		"Total number of groups of equal failures that were added to the group _other to make room for newer ones.")
	EventSubscribers = newGauge("ksyun_tap_event_subscribers",
		"Number of clients that receive failures as they happen from /api/v1/events.")
	EventSubscribersDropped = newCounter("ksyun_tap_event_subscribers_dropped_total",
		"Total number of clients of /api/v1/events that were disconnected because they were too slow.")
)

// The types of families.
const (
	counter   = "counter"
	gauge     = "gauge"
	histogram = "histogram"
)

// families are all families of ksyun-tap, in the order in which they are declared.
var families []Family

func newFamily(f Family) Family {
	families = append(families, f)
	return f
}

func newCounter(name, help string, labels ...string) Family {
	return newFamily(Family{name, counter, labels, help})
}

func newGauge(name, help string, labels ...string) Family {
	return newFamily(Family{name, gauge, labels, help})
}

func newHistogram(name, help string, labels ...string) Family {
	return newFamily(Family{name, histogram, labels, help})
}

// Describe returns every family of ksyun-tap in the order of the documentation.
// The families of the Go runtime (go_*), the process (process_*) and the
// metrics handler (promhttp_*) are exposed too, but not listed.
func Describe() []Family { return slices.Clone(families) }

// SeriesLabels returns the label names of the named series, and whether the
// series belongs to f. A histogram has the series _bucket, _sum and _count.
func (f Family) SeriesLabels(series string) (labels []string, ok bool) {
	if series == f.Name {
		return f.Labels, true
	}
	part, isPart := strings.CutPrefix(series, f.Name+"_")
	switch {
	case !isPart || f.Type != histogram:
		return nil, false
	case part == "bucket":
		return append(slices.Clone(f.Labels), "le"), true
	default:
		return f.Labels, part == "sum" || part == "count"
	}
}

// counterVec returns a new counter vector for f.
func (f Family) counterVec() *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: f.Name, Help: f.Help}, f.Labels)
}

// gaugeVec returns a new gauge vector for f.
func (f Family) gaugeVec() *prometheus.GaugeVec {
	return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: f.Name, Help: f.Help}, f.Labels)
}

// gauge returns a new gauge for f.
func (f Family) gauge() prometheus.Gauge {
	return prometheus.NewGauge(prometheus.GaugeOpts{Name: f.Name, Help: f.Help})
}

// desc returns the descriptor of f, for a collector that creates its metrics
// at scrape time.
func (f Family) desc() *prometheus.Desc {
	return prometheus.NewDesc(f.Name, f.Help, f.Labels, nil)
}
