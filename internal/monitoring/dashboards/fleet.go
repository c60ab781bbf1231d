package dashboards

import "github.com/ksyun-tap/ksyun-tap/internal/monitoring/rules"

// fleet shows the taps themselves: which there are, what is wrong with them, what
// they use, and how calls reach them.
func fleet() Dashboard {
	const target = "cluster, namespace, job, instance"
	// mine selects the series of taps: other programs may have the same job.
	mine := func(expr string) string {
		return expr + " and on (" + target + ") last_over_time(" + ofTap("ksyun_tap_build_info") + "[1h])"
	}
	each1 := func(expr string) Target { return asRows("max by (" + target + ") (" + expr + ")") }
	gauge := func(metric, legend string) Target { return query(sum("", ofTap(metric)), legend) }
	events := func(metric, legend string, by ...string) Target {
		if len(by) == 0 {
			return query(perMinute("", ofTap(metric)), legend)
		}
		return query(perMinute(by[0], ofTap(metric))+" > 0", legend+"{{"+by[0]+"}}")
	}
	return dashboard(rules.FleetUID, "Ksyun API / Fleet of taps",
		"The taps themselves: which there are, what is wrong with them, what they use, and how calls reach them.",
		tapVariables(),
		row("", false,
			table(1, "Taps", "Each tap with its latest state. The CA is renewed automatically, half a month before it expires.",
				[]column{
					{"namespace", "Namespace", words},
					{"job", "Job", words},
					{"instance", "Tap", words},
					{"version", "Version", words},
					{"Value #A", "Up", noUnit},
					{"Value #B", "Started", atTime},
					{"Value #C", "Configuration good", noUnit},
					{"Value #D", "Configuration read", atTime},
					{"Value #E", "Path good", noUnit},
					{"Value #F", "Path check took", seconds},
					{"Value #G", "CA ends", sinceTime},
					{"Value #H", "Keys to sign with good", noUnit},
					{"Value #I", "Queue used", share},
					{"Value #J", "Failures kept", count},
					{"Value #K", "Journal file good", noUnit},
					{"Value #L", "Failures", count},
				},
				each1(taps()), // the only value that a tap which is down has
				asRows("1000 * max by ("+target+", version) ("+ofTap("process_start_time_seconds")+" * on ("+target+") group_left (version) "+ofTap("ksyun_tap_build_info")+")"),
				each1(ofTap("ksyun_tap_config_last_reload_successful")),
				each1("1000 * "+ofTap("ksyun_tap_config_last_reload_success_timestamp_seconds")),
				each1(ofTap("ksyun_tap_path_check_success")),
				each1(ofTap("ksyun_tap_path_check_duration_seconds")),
				each1("1000 * "+ofTap("ksyun_tap_ca_not_after_timestamp_seconds")+" > 0"),
				each1(ofTap("ksyun_tap_resign_credentials_last_reload_successful")),
				each1(ofTap("ksyun_tap_queue_length")+" / "+ofTap("ksyun_tap_queue_capacity")),
				each1(ofTap("ksyun_tap_journal_entries")),
				each1(ofTap("ksyun_tap_journal_file_healthy")),
				asRows("round("+sum(target, shown(ofTap(errs)))+")")).
				override("Up", "mappings", []Mapping{{"value", upOrDown}}).override("Configuration good", "mappings", []Mapping{{"value", yesOrNo}}).
				override("Path good", "mappings", []Mapping{{"value", yesOrNo}}).override("Keys to sign with good", "mappings", []Mapping{{"value", yesOrNo}}).
				override("Journal file good", "mappings", []Mapping{{"value", yesOrNo}}).
				override("Tap", "links", []Link{atTap("")}).size(24, 8),
			graph(2, "Dropped records", "Records of calls that did not reach a sink's output, and log records and exports of metrics that did not reach the OpenTelemetry backend (OTLP) or the journal's file. sampled: left out on purpose, among many similar ones. Calls and metrics are not affected.",
				aMinute, ofCounts, query(perMinute("sink, reason", ofTap("ksyun_tap_observations_dropped_total"))+" > 0", "{{sink}}: {{reason}}"),
				query(perMinute("signal, reason", ofTap("ksyun_tap_push_dropped_total"))+" > 0", "OTLP {{signal}}: {{reason}}"),
				query(perMinute("", ofTap("ksyun_tap_journal_write_lost_total"))+" > 0", "journal's file: lost"), query(perMinute("", ofTap("ksyun_tap_journal_write_failures_total"))+" > 0", "journal's file: failed writes")).distinct().size(8, 9),
			graph(3, "Path check failing", "The stage at which the last check of the path to the API failed, and the number of taps. Needs --check-path.interval.",
				count, ofRates, query(sum("stage", ofTap("ksyun_tap_path_check_failed"))+" > 0", "{{stage}}")).size(8, 9),
			graph(4, "Failed connections", "TLS handshakes that failed (untrusted_ca: the program does not trust the tap's CA; the tap's log says what to set); connections beyond --proxy.max-connections; calls for which no file descriptors or buffers were left; those refused at the transparent listener (direct, or the tap's own in a loop) and at the re-signing address; panics, each of which closed a connection.",
				aMinute, ofCounts, events("ksyun_tap_intercept_handshake_errors_total", "TLS: ", "reason"),
				events("ksyun_tap_client_connections_refused_total", "beyond the limit"), events("ksyun_tap_client_connections_reclaimed_total", "closed to make room"),
				query(perMinute("", ofTap("ksyun_tap_proxy_errors_total", `reason="exhausted"`)), "no descriptors or buffers"),
				events("ksyun_tap_transparent_connections_refused_total", "transparent: ", "reason"), events("ksyun_tap_resign_connections_refused_total", "re-signing: ", "reason"),
				events("ksyun_tap_panics_total", "panics")).distinct().size(8, 9),
			graph(5, "Calls not seen", "Tunnels to tapped hosts, which were not intercepted; requests that were not observed; bodies that were only partly read, by reason. Also calls counted under _other, by the label that is at its limit.",
				aMinute, ofCounts, events("ksyun_tap_tapped_tunnels_total", "tunnels to tapped hosts"), events("ksyun_tap_unobserved_requests_total", "unobserved requests"),
				events("ksyun_tap_unread_bodies_total", "bodies read in part: ", "reason"), events("ksyun_tap_label_overflow_total", "_other for want of room: ", "label")).distinct().size(8, 9),
			graph(6, "Processor and memory", "Resident memory, and the buffers in use, which are part of it; on the right axis, CPU cores in use.", byteCount, ofRates,
				query(mine(ofTap("process_resident_memory_bytes")), "{{instance}}"), query(ofTap("ksyun_tap_buffer_bytes"), "{{instance}}, buffers"),
				query(mine(rate(ofTap("process_cpu_seconds_total"))), "{{instance}}, cores")).onTheRight("C", noUnit).size(8, 9),
			graph(7, "Connections", "Open connections from programs and to the API, tunnels, and calls in flight: calls that hang at the API show up here first. On the right axis, bytes received from and sent to programs.", count, ofRates,
				gauge("ksyun_tap_client_connections", "from programs"), gauge("ksyun_tap_upstream_connections", "to the API"), gauge("ksyun_tap_tunnels_open", "tunnels"), query(sum("service", ofTap("ksyun_api_requests_in_flight")), "calls in flight: {{service}}"),
				query(sum("", rate(ofTap("ksyun_tap_client_received_bytes_total"))), "received"), query(sum("", rate(ofTap("ksyun_tap_client_sent_bytes_total"))), "sent")).
				distinct().onTheRight("E", bytesRate).onTheRight("F", bytesRate).size(8, 9),
		),
		row("How calls reach them", true,
			graph(8, "Ways in", "Connections: accepted, with intercepted TLS, tunnelled without being observed, and made to the API. SDK telemetry: datagrams, records of attempts, those also seen by the proxy, those that SDKs announce, and rejected datagrams.",
				aMinute, ofCounts, events("ksyun_tap_client_connections_accepted_total", "accepted"), events("ksyun_tap_intercepted_connections_total", "intercepted"),
				events("ksyun_tap_tunnels_total", "tunnelled unseen"), events("ksyun_tap_upstream_dials_total", "made to the API"),
				events("ksyun_tap_csm_datagrams_total", "telemetry: datagrams"), events("ksyun_tap_csm_attempts_total", "telemetry: attempts"), events("ksyun_tap_csm_duplicates_total", "telemetry: seen twice"),
				events("ksyun_tap_csm_attempts_announced_total", "telemetry: announced"), events("ksyun_tap_csm_rejected_total", "telemetry: rejected")).distinct().size(24, 10),
		),
	)
}
