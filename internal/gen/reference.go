package main

import (
	"bytes"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"go.opentelemetry.io/otel/attribute"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/exporter/diagnosis"
	"github.com/ksyun-tap/ksyun-tap/exporter/metrics"
	"github.com/ksyun-tap/ksyun-tap/exporter/traces"
	"github.com/ksyun-tap/ksyun-tap/internal/config"
)

// The notices at the top of generated files.
const (
	markdownNotice = "<!-- Written by make generate. Do not edit. -->\n\n"
	yamlNotice     = "# Written by make generate. Do not edit.\n"
)

// reference writes the reference pages.
func reference(root string) error {
	for name, page := range map[string]func(*bytes.Buffer){
		"settings.md": settings, "metrics.md": families, "catalogue.md": catalogue, "diagnoses.md": diagnoses,
		"attributes.md": attributes,
	} {
		b := bytes.NewBufferString(markdownNotice)
		page(b)
		if err := write(filepath.Join(root, "docs/reference", name), b.Bytes()); err != nil {
			return err
		}
	}
	return nil
}

func settings(b *bytes.Buffer) {
	b.WriteString(`# Settings

Every setting is a flag, an environment variable and a key of the file in ` + "`--config.file`" + `. A flag takes precedence
over the environment, the environment over the file, and the file over the default.

In the file, a key is written as a whole or nested at its dots, and a repeatable setting may be a list. In the
environment, a repeatable setting has one value per line. The [sample file](../ksyun-tap.example.yml) contains every setting.

` + "```yaml\ntap:\n  host: [\"*.api.ksyun.com\", monitor.example.com]\nlog.level: debug\n```" + `

A reload (SIGHUP) applies settings marked with ↻, a restart the others. Spans are configured by
OpenTelemetry's variables (OTEL_*), upstream proxies by HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY: see
[Environment variables](environment.md). The ` + "`lookup.*`" + ` settings are those of [` + "`ksyun-tap lookup`" + `](../operating.md#find-a-call-across-a-fleet);
the tap does not use them.

| setting | default | description |
|---|---|---|
`)
	for _, d := range config.Describe() {
		name := "`--" + d.Name + "`"
		if d.Reloads {
			name += " ↻"
		}
		value := ""
		if d.Default != "" {
			value = "`" + d.Default + "`"
		}
		fmt.Fprintf(b, "| %s<br>`%s` | %s | %s |\n", name, d.Env, value, cell(d.Help))
	}
}

func attributes(b *bytes.Buffer) {
	b.WriteString(`# Span attributes

The attributes of spans in addition to OpenTelemetry's [semantic conventions](../telemetry.md#spans). A span has an event
` + "`" + traces.EventDiagnosis + "`" + ` for each [diagnosis](../diagnosis.md); the attributes marked with ◇ are also those of the event.

| attribute | type | present | description |
|---|---|---|---|
`)
	for _, a := range traces.Attributes() {
		name, kind, description := "`"+string(a.Key)+"`", strings.ToLower(a.Type.String()), cell(a.Description)
		if a.Event {
			name += " ◇"
		}
		if a.Type == attribute.INT64 {
			kind = "int"
		}
		if a.Values != nil {
			description += " Values: `" + strings.Join(a.Values, "`, `") + "`."
		}
		fmt.Fprintf(b, "| %s | %s | %s | %s |\n", name, kind, a.Present, description)
	}
}

func families(b *bytes.Buffer) {
	fmt.Fprintf(b, `# Metrics

The web listener serves these metrics on /metrics as text, OpenMetrics or protobuf, together with those of the Go runtime
(go_*), the process (process_*) and the metrics handler (promhttp_*).

Every label is bounded. Values beyond a limit are counted as _other and in ksyun_tap_label_overflow_total. ksyun_api_*
never have more than %d lines in one scrape; a test checks that with hostile traffic. A label is "unknown" if the request
does not contain its value; code and status are "none" if there was no response or it has none.

| metric | type | labels | description |
|---|---|---|---|
`, metrics.MaxSeries())
	for _, f := range metrics.Describe() {
		labels := "–"
		if len(f.Labels) > 0 {
			labels = "`" + strings.Join(f.Labels, "` `") + "`"
		}
		fmt.Fprintf(b, "| `%s` | %s | %s | %s |\n", f.Name, f.Type, labels, cell(f.Help))
	}
}

func catalogue(b *bytes.Buffer) {
	b.WriteString(`# Error catalogue

The errors that the tap knows. A response is matched by its code, without regard to case, then by status and message,
then by status alone. The name of a code is *documented* (it appears in the vendor's documentation or software),
*inferred* (a guess, which never matches alone) or a *placeholder* (our name; the real one is not known).
` + "`ksyun-tap explain CODE`" + ` prints the same, and ` + "`--tap.catalog-file`" + ` adds entries.

`)
	for _, e := range classify.DefaultCatalog().Entries() {
		heading := "## " + e.Code
		switch {
		case e.Fault != "":
			heading = "## No response: " + string(e.Fault)
		case e.Refines:
			heading = "### " + e.Code + ", by its message"
		}
		advice := diagnosis.ForEntry(e)
		fmt.Fprintf(b, "%s\n\n%s %s\n\n**Do:** %s\n\n%s\n\n", heading, e.Meaning.English, e.Meaning.Chinese, advice.Text().English, advice.Text().Chinese)
		var facts []string
		if e.DryRun {
			facts = append(facts, "not a failure")
		} else {
			facts = append(facts, "category `"+string(e.Category)+"`", "blame `"+string(e.Blame)+"`")
		}
		facts = append(facts, "retry `"+string(advice.Retry)+"`")
		if len(e.Statuses) > 0 {
			facts = append(facts, "HTTP "+strings.Join(e.StatusNames(), ", "))
		}
		if e.Row > 0 {
			facts = append(facts, "row "+strconv.Itoa(e.Row)+" of the vendor's table")
		}
		if e.Fault == "" {
			facts = append(facts, "name "+string(e.Grade))
		}
		if len(e.Aliases) > 0 {
			facts = append(facts, "also `"+strings.Join(e.Aliases, "` `")+"`")
		}
		fmt.Fprintf(b, "%s. ", strings.Join(facts, " · "))
		if e.Example != "" {
			fmt.Fprintf(b, "Message: “%s” ", e.Example)
		}
		fmt.Fprintf(b, "Source: %s. [Runbook](%s).\n\n", e.Source, advice.Runbook)
	}
	b.Truncate(b.Len() - 1)
}

func diagnoses(b *bytes.Buffer) {
	b.WriteString(`# Diagnoses

Every cause that the tap can name for a failed call, in the words of pages, log lines, tickets and commands.
` + "`ksyun-tap explain CAUSE`" + ` prints the same. [How each is found](../diagnosis.md).

`)
	for _, d := range diagnosis.Causes() {
		fmt.Fprintf(b, "## %s\n\n%s %s\n\n**Evidence:** %s\n\n**Do:** %s\n\n%s\n\n", d.Cause, d.Summary.English, d.Summary.Chinese,
			d.Evidence.English, d.Advice.Text().English, d.Advice.Text().Chinese)
		fmt.Fprintf(b, "blame `%s` · retry `%s`. [Runbook](%s).\n\n", d.Blame, d.Advice.Retry, d.Advice.Runbook)
	}
	b.Truncate(b.Len() - 1)
}

// cell escapes text for a table.
func cell(text string) string { return strings.ReplaceAll(text, "|", "\\|") }
