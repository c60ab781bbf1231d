package grafana

import "github.com/ksyun-tap/ksyun-tap/internal/rules"

// fleet shows many taps: who is there, what is wrong with whom, what they use.
func fleet() Dashboard {
	per := func(label, metric string, matchers ...string) Target {
		return query(sum(label, rate(ofTap(metric, matchers...))), "{{"+label+"}}")
	}
	each := func(metric string) Target {
		return query(ofTap(metric), "{{instance}}")
	}
	versions := " * on (cluster, namespace, job, instance) group_left (version) " + ofTap("ksyun_tap_build_info")
	return dashboard(rules.FleetUID, "Ksyun API / Fleet of taps",
		"The taps themselves: which are there, in which version, what they lose, what they use, and how calls reach them.",
		tapVariables(),
		row{100, "Are they well?", []*panel{
			stat(1, "Taps up", "Taps that answer Prometheus.", count, latest(sum("", ofTap("up")), "")).size(3, 4),
			stat(2, "Taps down", "Targets that do not answer. Programs that use such a tap as a proxy may have no way to the API.",
				count, latest("count("+ofTap("up")+" == 0) or vector(0)", "")).size(3, 4).steps("green", 1.0, "red"),
			stat(3, "Bad configurations", "Taps that could not read their configuration anew and go on with the one they had.",
				count, latest("count("+ofTap("ksyun_tap_config_last_reload_successful")+" == 0) or vector(0)", "")).size(3, 4).steps("green", 1.0, "red"),
			stat(4, "Broken ways to the API", "Taps whose last check of the way to the API failed; with --check-path.interval.",
				count, latest("count("+ofTap("ksyun_tap_path_check_success")+" == 0) or vector(0)", "")).size(3, 4).steps("green", 1.0, "red"),
			stat(5, "Records lost", "Records of calls that did not reach journal, log or traces, over the time shown; what a flood's sampling left out does not count. Calls and metrics are not affected.",
				count, latest(orZero(sum("", increase(ofTap("ksyun_tap_observations_dropped_total", `reason!~"sampled|shutdown"`)))), "")).precise(0).size(3, 4).steps("green", 1.0, "orange"),
			stat(6, "Panics", "Errors in the taps' own code, from which they recovered, over the time shown.",
				count, latest(orZero(sum("", increase(ofTap("ksyun_tap_panics_total")))), "")).precise(0).size(3, 4).steps("green", 1.0, "red"),
			stat(7, "First CA to expire", "When the first of the taps' CAs ends. It is replaced by itself, half a month before.",
				sinceTime, latest("1000 * min("+ofTap("ksyun_tap_ca_not_after_timestamp_seconds")+" > 0)", "")).size(6, 4).none("no interception"),
		}},
		row{101, "Which are there?", []*panel{
			table(8, "Taps", "Each tap, its version, when it started and last read its configuration.",
				[]column{
					{"job", "Job", words},
					{"instance", "Tap", words},
					{"version", "Version", words},
					{"Value #A", "Started", atTime},
					{"Value #B", "Configuration read", atTime},
					{"Value #C", "Memory", byteCount},
				},
				asRows("1000 * max by (job, instance, version) ("+ofTap("process_start_time_seconds")+versions+")"),
				asRows("1000 * max by (job, instance, version) ("+ofTap("ksyun_tap_config_last_reload_success_timestamp_seconds")+versions+")"),
				asRows("max by (job, instance, version) ("+ofTap("process_resident_memory_bytes")+versions+")")).size(16, 8).
				override("Tap", "links", []Link{{Title: "Its list of failures", URL: "http://${__value.raw}/", TargetBlank: true}}),
			graph(9, "Versions", "How many taps run which version.", count, query("count by (version) ("+ofTap("ksyun_tap_build_info")+")", "{{version}}")).stacked().size(8, 8),
			graph(10, "Calls by tap", "Attempts at calls per second.", perSecond, per("instance", requests)),
			graph(11, "Failed calls by tap", "Failed attempts per second, whoever's fault it was.", perSecond, per("instance", errs)),
		}},
		row{102, "What is lost, what is wrong?", []*panel{
			graph(12, "Lost records", "Records of calls that did not reach a sink's output. sampled: left out of a flood on purpose.",
				perSecond, query(sum("sink, reason", rate(ofTap("ksyun_tap_observations_dropped_total"))+" > 0"), "{{sink}}: {{reason}}")).size(8, 8),
			graph(13, "Labels beyond their limit", "Calls counted under _other because a label, or the number of series, was at its limit.",
				perSecond, query(sum("label", rate(ofTap("ksyun_tap_label_overflow_total"))+" > 0"), "{{label}}")).size(8, 8),
			graph(14, "Use of the queue", "Share of the queue to journal, logs and traces that is in use. Full, records are lost.",
				share, query(ofTap("ksyun_tap_queue_length")+" / "+ofTap("ksyun_tap_queue_capacity"), "{{instance}}")).whole().size(8, 8),
			graph(15, "Where the way to the API is broken", "The part at which the last check of the way failed, and how many taps say so.",
				count, query(sum("stage", ofTap("ksyun_tap_path_check_failed"))+" > 0", "{{stage}}")).size(8, 8),
			graph(16, "Duration of the check of the way", "How long one unsigned call through the tap took.", seconds, each("ksyun_tap_path_check_duration_seconds")).size(8, 8),
			graph(17, "Failures kept for look-up", "Failures in the taps' journals; those that had to make room are lost to look-up by request ID.",
				count, each("ksyun_tap_journal_entries")).size(8, 8),
		}},
		row{103, "What do they use?", []*panel{
			graph(18, "CPU", "Cores in use.", noUnit, query(rate(ofTap("process_cpu_seconds_total")), "{{instance}}")).size(8, 8),
			graph(19, "Memory", "Resident memory, and of it the buffers in use.", byteCount, query(ofTap("process_resident_memory_bytes"), "{{instance}}"),
				query(ofTap("ksyun_tap_buffer_bytes"), "{{instance}}, buffers")).size(8, 8),
			graph(20, "Goroutines", "Goroutines; they grow with open connections.", count, each("go_goroutines")).size(8, 8),
			graph(21, "Connections", "Open connections from programs, to the API, and tunnels.", count,
				query(sum("", ofTap("ksyun_tap_client_connections")), "from programs"), query(sum("", ofTap("ksyun_tap_upstream_connections")), "to the API"),
				query(sum("", ofTap("ksyun_tap_tunnels_open")), "tunnels")).size(8, 8),
			graph(22, "Traffic", "Bytes from and to programs.", bytesRate,
				query(sum("", rate(ofTap("ksyun_tap_client_received_bytes_total"))), "from programs"), query(sum("", rate(ofTap("ksyun_tap_client_sent_bytes_total"))), "to programs")).size(8, 8),
			graph(23, "Connections made to the API", "Each program's connection has one of its own: many mean programs that connect for each call.", "ops",
				query(sum("", rate(ofTap("ksyun_tap_upstream_dials_total"))), "dialled")).size(8, 8),
		}},
		row{104, "How calls reach them", []*panel{
			graph(24, "Connections by way in", "Accepted connections; those whose TLS the tap took part in; those passed on unseen; records of SDKs' telemetry.", "ops",
				query(sum("", rate(ofTap("ksyun_tap_client_connections_accepted_total"))), "accepted"), query(sum("", rate(ofTap("ksyun_tap_intercepted_connections_total"))), "intercepted"),
				query(sum("", rate(ofTap("ksyun_tap_tunnels_total"))), "tunnelled unseen"), query(sum("", rate(ofTap("ksyun_tap_csm_datagrams_total"))), "SDK telemetry")).size(8, 8),
			graph(25, "Calls that are not seen", "Tunnels to tapped hosts, for want of interception; requests that were not looked into; bodies of which a part was not read, by reason.", "ops",
				query(sum("", rate(ofTap("ksyun_tap_tapped_tunnels_total"))), "tunnels to tapped hosts"), query(sum("", rate(ofTap("ksyun_tap_unobserved_requests_total"))), "unobserved requests"),
				query(sum("reason", rate(ofTap("ksyun_tap_unread_bodies_total"))+" > 0"), "bodies read in part: {{reason}}")).size(8, 8),
			graph(26, "TLS that programs gave up", "Programs that did not go on behind the handshake with the tap. untrusted_ca: they do not trust its CA, and the tap's log says what to set.", "ops",
				query(sum("reason", rate(ofTap("ksyun_tap_intercept_handshake_errors_total"))+" > 0"), "{{reason}}")).size(8, 8),
			graph(27, "Connections turned away", "Beyond --proxy.max-connections, at the transparent listener (direct, or a loop of the tap's own) and at the own address.", "ops",
				query(sum("", rate(ofTap("ksyun_tap_client_connections_refused_total"))), "beyond the limit"),
				query(sum("", rate(ofTap("ksyun_tap_client_connections_reclaimed_total"))), "closed to make room"),
				query(sum("reason", rate(ofTap("ksyun_tap_transparent_connections_refused_total"))), "transparent: {{reason}}"),
				query(sum("reason", rate(ofTap("ksyun_tap_resign_connections_refused_total"))), "own address: {{reason}}")).size(8, 8),
			graph(28, "SDK telemetry", "Records of attempts, those seen by the proxy too, those the SDKs announce, and datagrams that are no such record.", "ops",
				query(sum("", rate(ofTap("ksyun_tap_csm_attempts_total"))), "attempts"), query(sum("", rate(ofTap("ksyun_tap_csm_duplicates_total"))), "seen twice"),
				query(sum("", rate(ofTap("ksyun_tap_csm_attempts_announced_total"))), "announced"), query(sum("", rate(ofTap("ksyun_tap_csm_rejected_total"))), "rejected")).size(8, 8),
			graph(29, "Credentials to sign with", "1 where the credentials of the own address could last be read, 0 where a tap goes on with older ones.", noUnit,
				each("ksyun_tap_resign_credentials_last_reload_successful")).whole().size(8, 8),
		}},
	)
}
