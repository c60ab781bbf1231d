package dashboards

// oneCall shows a single call by its request ID: its trace and its log lines.
func oneCall() Dashboard {
	how := `Enter the request ID of a failed call in the box above. It is in the vendor's response, in the tap's log lines,
in the exemplars of the graphs, and in [the tap's list of recent failures](${tap}/failures/${request_id}), which also has
a text for a support ticket. On the command line: ` + "`ksyun-tap lookup ${request_id}`" + `.`
	return dashboard(uidCall, "Ksyun API / One call",
		"One call by its request ID: its trace, in Tempo or Jaeger, and its log lines, in Loki.",
		[]Variable{
			text("request_id", "Request ID", ""),
			source("tempo", "Tempo", "tempo"), source("jaeger", "Jaeger", "jaeger"), source("loki", "Loki", "loki"),
			text("logs", "Log lines of taps", `service_name="ksyun-tap"`), text("tap", "A tap's address", "http://127.0.0.1:18180"), source("datasource", "Prometheus", "prometheus"),
		},
		row("", false,
			&panel{Panel{
				ID: 1, Type: "text", Title: "How to find it", Description: "Where to find request IDs.",
				GridPos: GridPos{W: 24, H: 4}, Options: textOptions{"markdown", how},
			}},
			newPanel(2, "logs", "Log lines", "The tap's log lines about the call, from Loki.", noUnit, 24, 8,
				logsOptions{ShowTime: true, WrapLogMessage: true, PrettifyLogMessage: true, EnableLogDetails: true, SortOrder: "Descending", DedupStrategy: "none"}, nil,
				[]Target{{Expr: "{${logs}} |= `${request_id}` | json | request_id=`${request_id}`", Range: true, QueryType: "range", Datasource: &lokiSource}}),
			newPanel(3, "table", "Spans in Tempo", "The attempts that were answered with this request ID, from Tempo. The trace ID links to the whole trace.", noUnit, 12, 8,
				tableOptions{ShowHeader: true}, tableCustom{Align: "auto", Filterable: true},
				[]Target{{QueryType: "traceql", Query: `{ span.ksyun.request_id = "${request_id}" } | select(span.ksyun.action, span.ksyun.error.code, span.ksyun.error.category, span.http.response.status_code)`, Limit: 20, Datasource: &tempoSource}}),
			newPanel(4, "table", "Spans in Jaeger", "The same, from Jaeger.", noUnit, 12, 8,
				tableOptions{ShowHeader: true}, tableCustom{Align: "auto", Filterable: true},
				[]Target{{QueryType: "search", Service: "ksyun-tap", Tags: `ksyun.request_id="${request_id}"`, Limit: 20, Datasource: &jaegerSource}}),
		),
	)
}
