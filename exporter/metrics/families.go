package metrics

import (
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// Family describes one metric family of this program's own. It is what
// documentation is generated from.
type Family struct {
	Name   string
	Type   string   // "counter", "gauge" or "histogram"
	Labels []string // in the order of the exposition; nil without labels
	Help   string
}

// The families, by the job they do. New creates each from its row, so that the
// description cannot drift from what is scraped.
var ( //nolint:goconst // a table: label names are best read in place
	famRequests = Family{
		"ksyun_api_requests_total", counter,
		[]string{"service", "action", "version", "region", "outcome", "status"},
		"Attempts at API calls, by how they ended.",
	}
	famErrors = Family{
		"ksyun_api_errors_total", counter,
		[]string{"service", "action", "version", "region", "code", "type", "status", "category", "blame"},
		"Failed attempts at API calls, by the vendor's error code, by cause and by whose doing it was.",
	}
	famAttempts = Family{
		"ksyun_api_attempts_total", counter,
		[]string{"service", "category", "blame"},
		"Attempts that count for availability, by cause of failure; category and blame are none for a success. Dry runs and calls that the program canceled are left out. The series of a service start at 0.",
	}
	famDuration = Family{
		"ksyun_api_request_duration_seconds", histogram,
		[]string{"service", "action", "outcome"},
		"Time from the first byte of an attempt's request to the last byte of its answer.",
	}
	famInFlight = Family{
		"ksyun_api_requests_in_flight", gauge,
		[]string{"service"},
		"Attempts begun and not ended.",
	}
	famPartial = Family{
		"ksyun_api_partial_failed_items_total", counter,
		[]string{"service", "action"},
		"Items that partial answers reported as failed.",
	}
	famLastError = Family{
		"ksyun_api_last_error_timestamp_seconds", gauge,
		[]string{"service", "category"},
		"When the last failed attempt of that category ended, in seconds since the epoch.",
	}
	famLastSuccess = Family{
		"ksyun_api_last_success_timestamp_seconds", gauge,
		[]string{"service"},
		"When the last attempt ended that succeeded, in full, in part or as a dry run, in seconds since the epoch; 0 before the first.",
	}
	famSinceSuccess = Family{
		"ksyun_api_errors_since_success", gauge,
		[]string{"service", "category"},
		"Failed attempts of that category since the service's last success.",
	}

	famClockSkew = Family{
		"ksyun_api_clock_skew_seconds", gauge,
		[]string{"client"},
		"How far the clock that a client signs by is ahead of the API's: the median of its last requests, of the 16 clients furthest off. The client self is the tap itself, where it signs.",
	}
	famClockUncertain = Family{
		"ksyun_api_clock_skew_uncertainty_seconds", gauge,
		[]string{"client"},
		"By how much ksyun_api_clock_skew_seconds may be wrong in either direction.",
	}

	famDropped = Family{
		"ksyun_tap_observations_dropped_total", counter,
		[]string{"sink", "reason"},
		"Observations that did not reach a sink's output, by sink and reason.",
	}
	famOverflow = Family{
		"ksyun_tap_label_overflow_total", counter,
		[]string{"label"},
		"Observations counted under _other because a label, or the number of series, was at its limit.",
	}
	famProxyErrors = Family{
		"ksyun_tap_proxy_errors_total", counter,
		[]string{"reason"},
		"Requests that were refused, or got no whole answer, by reason.",
	}
	famIgnoredVariables = Family{
		"ksyun_tap_ignored_variables", gauge,
		[]string{"variable"},
		"1 for each environment variable that is ignored, since its value is wrong or its name unknown; the log has the reason.",
	}
	famReloadOK = Family{
		"ksyun_tap_config_last_reload_successful", gauge, nil,
		"Whether the last load of the configuration succeeded.",
	}
	famReloadTime = Family{
		"ksyun_tap_config_last_reload_success_timestamp_seconds", gauge, nil,
		"When the configuration was last loaded with success, in seconds since the epoch.",
	}
	famBuildInfo = Family{
		"ksyun_tap_build_info", gauge,
		[]string{"branch", "goarch", "goos", "goversion", "revision", "tags", "version"},
		"A metric with a constant '1' value labeled by version, revision, branch, goversion from which ksyun_tap was built, and the goos and goarch for the build.",
	}

	famClientConns = Family{
		"ksyun_tap_client_connections", gauge, nil,
		"Open connections from programs.",
	}
	famAccepted = Family{
		"ksyun_tap_client_connections_accepted_total", counter, nil,
		"Connections accepted from programs.",
	}
	famRefused = Family{
		"ksyun_tap_client_connections_refused_total", counter, nil,
		"Connections of programs answered with 503, since there were as many as there may be.",
	}
	famReclaimed = Family{
		"ksyun_tap_client_connections_reclaimed_total", counter, nil,
		"Connections of programs closed while they waited for a request, to make room for others.",
	}
	famBufferBytes = Family{
		"ksyun_tap_buffer_bytes", gauge, nil,
		"Memory of the buffers in use.",
	}
	famReceived = Family{
		"ksyun_tap_client_received_bytes_total", counter, nil,
		"Bytes received from programs.",
	}
	famSent = Family{
		"ksyun_tap_client_sent_bytes_total", counter, nil,
		"Bytes written to programs.",
	}
	famUpstreamConns = Family{
		"ksyun_tap_upstream_connections", gauge, nil,
		"Open connections to the API.",
	}
	famDials = Family{
		"ksyun_tap_upstream_dials_total", counter, nil,
		"Connections dialled to the API.",
	}
	famPanics = Family{
		"ksyun_tap_panics_total", counter, nil,
		"Panics recovered while relaying.",
	}
	famUnobserved = Family{
		"ksyun_tap_unobserved_requests_total", counter, nil,
		"Requests relayed without being looked into.",
	}
	famUnread = Family{
		"ksyun_tap_unread_bodies_total", counter,
		[]string{"reason"},
		"Bodies of requests and answers of which a part was not read, by reason. An error in that part was missed.",
	}

	famIntercepted = Family{
		"ksyun_tap_intercepted_connections_total", counter, nil,
		"Connections whose TLS the tap ended and that sent a request.",
	}
	famTunnels = Family{
		"ksyun_tap_tunnels_total", counter, nil,
		"Connections passed on unseen: CONNECTs, and redirected ones.",
	}
	famTappedTunnels = Family{
		"ksyun_tap_tapped_tunnels_total", counter, nil,
		"Those to tapped hosts, as there is no interception.",
	}
	famOpenTunnels = Family{
		"ksyun_tap_tunnels_open", gauge, nil,
		"Open tunnels.",
	}
	famHandshakeErrors = Family{
		"ksyun_tap_intercept_handshake_errors_total", counter,
		[]string{"reason"},
		"Programs that did not go on behind the TLS handshake with the tap, by reason.",
	}
	famCANotAfter = Family{
		"ksyun_tap_ca_not_after_timestamp_seconds", gauge, nil,
		"When the last CA for interception expires, in seconds since the epoch; with interception only.",
	}

	famNotRedirected = Family{
		"ksyun_tap_transparent_connections_refused_total", counter,
		[]string{"reason"},
		"Connections to where only redirected ones of programs should come, reset, by reason: direct (not redirected) or loop (the tap's own).",
	}

	famCSMDatagrams = Family{
		"ksyun_tap_csm_datagrams_total", counter, nil,
		"Datagrams of SDK telemetry received; with its intake only, as all of ksyun_tap_csm_*.",
	}
	famCSMAttempts = Family{
		"ksyun_tap_csm_attempts_total", counter, nil,
		"Records of attempts received from SDKs.",
	}
	famCSMAnnounced = Family{
		"ksyun_tap_csm_attempts_announced_total", counter, nil,
		"Attempts that SDKs say they made; what this is ahead of ksyun_tap_csm_attempts_total was lost on the way.",
	}
	famCSMDuplicates = Family{
		"ksyun_tap_csm_duplicates_total", counter, nil,
		"Records of attempts that had passed the proxy, too, and were not told again.",
	}
	famCSMRejected = Family{
		"ksyun_tap_csm_rejected_total", counter, nil,
		"Datagrams that are no record of a known kind.",
	}

	famResignRefused = Family{
		"ksyun_tap_resign_connections_refused_total", counter,
		[]string{"reason"},
		"Connections to the tap's own address that were turned away, by reason: address or tls; with that address only, as all of ksyun_tap_resign_*.",
	}
	famResignReloadOK = Family{
		"ksyun_tap_resign_credentials_last_reload_successful", gauge, nil,
		"Whether the credentials to sign with could last be read.",
	}
	famResignReloadTime = Family{
		"ksyun_tap_resign_credentials_last_reload_success_timestamp_seconds", gauge, nil,
		"When the credentials to sign with last changed or were read first, in seconds since the epoch.",
	}

	famPathSuccess = Family{
		"ksyun_tap_path_check_success", gauge, nil,
		"Whether the last check of the way to the API found it in order; with --check-path.interval only, as all of ksyun_tap_path_check_*.",
	}
	famPathFailed = Family{
		"ksyun_tap_path_check_failed", gauge,
		[]string{"stage"},
		"1 for the part of the way at which the last check failed, 0 for the others.",
	}
	famPathTime = Family{
		"ksyun_tap_path_check_last_success_timestamp_seconds", gauge, nil,
		"When the way to the API was last found in order, in seconds since the epoch.",
	}
	famPathDuration = Family{
		"ksyun_tap_path_check_duration_seconds", gauge, nil,
		"How long the last check took.",
	}

	famQueueLength = Family{
		"ksyun_tap_queue_length", gauge, nil,
		"Observations that wait for journal, logs and traces.",
	}
	famQueueCapacity = Family{
		"ksyun_tap_queue_capacity", gauge, nil,
		"Observations that may wait for journal, logs and traces.",
	}
	famJournalEntries = Family{
		"ksyun_tap_journal_entries", gauge, nil,
		"Failures in the journal.",
	}
	famJournalCapacity = Family{
		"ksyun_tap_journal_capacity", gauge, nil,
		"Failures the journal has room for.",
	}
	famJournalEvicted = Family{
		"ksyun_tap_journal_evicted_total", counter, nil,
		"Failures that left the journal to make room.",
	}
)

// The types of families.
const (
	counter   = "counter"
	gauge     = "gauge"
	histogram = "histogram"
)

// Describe lists every family of this program's own in the order of the
// documentation. Those of the Go runtime (go_*), the process (process_*) and
// the metrics handler (promhttp_*) come on top.
func Describe() []Family {
	return []Family{
		famRequests, famErrors, famAttempts, famDuration, famInFlight, famPartial,
		famLastError, famLastSuccess, famSinceSuccess, famClockSkew, famClockUncertain,
		famDropped, famOverflow, famProxyErrors, famReloadOK, famReloadTime, famIgnoredVariables, famBuildInfo,
		famClientConns, famAccepted, famRefused, famReclaimed, famBufferBytes, famReceived, famSent,
		famUpstreamConns, famDials,
		famPanics, famUnobserved, famUnread,
		famIntercepted, famTunnels, famTappedTunnels, famOpenTunnels, famHandshakeErrors, famCANotAfter, famNotRedirected,
		famCSMDatagrams, famCSMAttempts, famCSMAnnounced, famCSMDuplicates, famCSMRejected,
		famResignRefused, famResignReloadOK, famResignReloadTime,
		famPathSuccess, famPathFailed, famPathTime, famPathDuration,
		famQueueLength, famQueueCapacity,
		famJournalEntries, famJournalCapacity, famJournalEvicted,
	}
}

// SeriesLabels returns the labels of the series of that name, and whether f has
// such series: a histogram has some beside its own.
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

// counterVec makes the vector of counters f describes.
func (f Family) counterVec() *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: f.Name, Help: f.Help}, f.Labels)
}

// gaugeVec makes the vector of gauges f describes.
func (f Family) gaugeVec() *prometheus.GaugeVec {
	return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: f.Name, Help: f.Help}, f.Labels)
}

// gauge makes the single gauge f describes.
func (f Family) gauge() prometheus.Gauge {
	return prometheus.NewGauge(prometheus.GaugeOpts{Name: f.Name, Help: f.Help})
}

// desc makes the description of f for a collector that makes its metrics when
// it is asked.
func (f Family) desc() *prometheus.Desc {
	return prometheus.NewDesc(f.Name, f.Help, f.Labels, nil)
}
