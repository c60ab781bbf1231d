package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kingpin/v2"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/exporter/groups"
	"github.com/ksyun-tap/ksyun-tap/exporter/record"
	"github.com/ksyun-tap/ksyun-tap/internal/config"
	"github.com/ksyun-tap/ksyun-tap/internal/output"
	"github.com/ksyun-tap/ksyun-tap/internal/tapclient"
	"github.com/ksyun-tap/ksyun-tap/usererror"
)

// followRetry is the pause before a stream of events is requested again.
const followRetry = 2 * time.Second

// failuresVerb lists the recent failures of a running tap.
type failuresVerb struct {
	url     string
	since   time.Duration
	filter  map[string]*[]string // by name of the API's parameter
	limit   int
	groups  bool
	follow  bool
	output  string
	timeout time.Duration
}

func newFailures(app *kingpin.Application) *failuresVerb {
	v := &failuresVerb{filter: map[string]*[]string{}}
	c := app.Command("failures", "List the recent failures of the running tap, the newest first. Exit codes: 0 if there are any, 1 if there are none, 2 if the tap does not answer.")
	urlFlag(c, &v.url)
	c.Flag("since", "Only failures of this time before now, such as 15m. With --groups, groups that were seen in this time.").PlaceHolder("DURATION").SetValue(config.Positive(&v.since))
	repeatable := func(name, help string) *kingpin.FlagClause {
		v.filter[name] = new([]string)
		return c.Flag(name, help+" Repeatable.").PlaceHolder(strings.ToUpper(name))
	}
	repeatable("category", "Only failures of this category: "+words(classify.Categories())+".").SetValue(config.List(v.filter["category"], config.Word(classify.Categories()...)))
	repeatable("code", "Only failures with this error code, in any case.").StringsVar(v.filter["code"])
	repeatable("action", "Only failures of this action, in any case.").StringsVar(v.filter["action"])
	repeatable("blame", "Only failures that are to be fixed by: "+words(classify.Blames())+".").SetValue(config.List(v.filter["blame"], config.Word(classify.Blames()...)))
	c.Flag("limit", "Maximum number of failures or groups.").Default("20").SetValue(config.Number(&v.limit, 1, 1000))
	c.Flag("groups", "List groups of equal failures, the largest first, with their counts since the start of the tap.").BoolVar(&v.groups)
	c.Flag("follow", "Then print new failures as they happen, until interrupted.").Short('f').BoolVar(&v.follow)
	c.Flag("output", "Format: table or json (one object per line).").Default("table").SetValue(config.OneOf(&v.output, "table", "json"))
	c.Flag("timeout", "Timeout for the tap's response.").Default("5s").SetValue(config.Positive(&v.timeout))
	return v
}

// words returns the values that are not empty, separated by commas.
func words[T ~string](values []T) string {
	var all []string
	for _, v := range values {
		if v != "" {
			all = append(all, string(v))
		}
	}
	return strings.Join(all, ", ")
}

func (v *failuresVerb) run(ctx context.Context, std stdio) error {
	if v.groups && v.follow {
		return usageError{usererror.New("--groups and --follow cannot be combined", "omit one of them")}
	}
	tap := tapclient.URL(v.url)
	if v.groups {
		return v.listGroups(ctx, std, tap)
	}
	return v.listFailures(ctx, std, tap)
}

// query returns the filter as parameters of the API.
func (v *failuresVerb) query() url.Values {
	q := url.Values{}
	for name, values := range v.filter {
		for _, value := range *values {
			q.Add(name, value)
		}
	}
	if v.since > 0 {
		// The time is fixed, so that a stream that is requested again starts at it.
		q.Set("from", time.Now().Add(-v.since).UTC().Format(time.RFC3339Nano))
	}
	return q
}

// failuresPage is a page of the list of failures.
type failuresPage struct {
	Failures []json.RawMessage `json:"failures"` // newest first
	Next     string            `json:"next_cursor"`
}

func (v *failuresVerb) listFailures(ctx context.Context, std stdio, tap string) error {
	q := v.query()
	list := url.Values{"limit": {strconv.Itoa(v.limit)}}
	maps.Copy(list, q)
	limited, cancel := context.WithTimeout(ctx, v.timeout)
	defer cancel()
	page, err := tapclient.Query[failuresPage](limited, tap, "/api/v1/failures?"+list.Encode())
	if err != nil {
		return noResponse(err)
	}
	p := v.printer(std, time.Now(), "TIME", "CODE", "STATUS", "CATEGORY", "BLAME", "ACTION", "REQUEST ID")
	if v.follow {
		slices.Reverse(page.Failures) // those that follow are newer
	}
	var last string
	for _, raw := range page.Failures {
		var r record.Record
		if err := json.Unmarshal(raw, &r); err != nil {
			return noResponse(err)
		}
		last = r.ID
		if err := p.failure(&r, raw); err != nil {
			return err
		}
	}
	if err := p.Flush(); err != nil {
		return err
	}
	if v.follow {
		return v.followFailures(ctx, std, tap, q, last, p)
	}
	return v.conclude(std, len(page.Failures), "failure", page.Next != "")
}

func (v *failuresVerb) listGroups(ctx context.Context, std stdio, tap string) error {
	ctx, cancel := context.WithTimeout(ctx, v.timeout)
	defer cancel()
	data, err := tapclient.Query[struct {
		Groups []json.RawMessage `json:"groups"`
	}](ctx, tap, "/api/v1/groups")
	if err != nil {
		return noResponse(err)
	}
	p := v.printer(std, time.Now(), "COUNT", "LAST SEEN", "CODE", "STATUS", "CATEGORY", "BLAME", "ACTION", "REGION")
	n, more := 0, false
	for _, raw := range data.Groups {
		var g groups.Group
		if err := json.Unmarshal(raw, &g); err != nil {
			return noResponse(err)
		}
		if !v.selects(&g) {
			continue
		}
		if n == v.limit {
			more = true
			break
		}
		n++
		if err := p.print(raw, g.Blame, g.Message, strconv.FormatUint(g.Count, 10), p.Time(g.LastSeen), output.OrDash(cmp.Or(g.Code, g.CatalogCode, string(g.Fault))),
			output.OrDash(output.OrEmpty(g.Status)), output.OrDash(g.Category), output.OrDash(g.Blame), output.OrDash(g.Action), output.OrDash(g.Region)); err != nil {
			return err
		}
	}
	if err := p.Flush(); err != nil {
		return err
	}
	return v.conclude(std, n, "group", more)
}

// selects reports whether the filter selects a group.
func (v *failuresVerb) selects(g *groups.Group) bool {
	has := func(name string, texts ...string) bool {
		want := *v.filter[name]
		return len(want) == 0 || slices.ContainsFunc(want, func(w string) bool {
			return slices.ContainsFunc(texts, func(s string) bool { return strings.EqualFold(s, w) })
		})
	}
	return has("category", string(g.Category)) && has("blame", string(g.Blame)) && has("action", g.Action) && has("code", g.Code, g.CatalogCode) &&
		(v.since == 0 || !g.LastSeen.Before(time.Now().Add(-v.since)))
}

// conclude reports on standard error how many there are, and returns the exit code.
func (v *failuresVerb) conclude(std stdio, n int, noun string, more bool) error {
	if n == 0 {
		if v.output == "table" {
			fmt.Fprintf(std.err, "no %s\n", noun+"s")
		}
		return exitError{code: exitNone}
	}
	if v.output == "table" && more {
		fmt.Fprintf(std.err, "%s; there are more, see --limit\n", output.Plural(n, noun))
	}
	return nil
}

// noResponse returns err with the exit code for taps that do not answer.
func noResponse(err error) error { return exitError{exitNoResponse, err} }

// followFailures prints the failures after last until ctx is done.
func (v *failuresVerb) followFailures(ctx context.Context, std stdio, tap string, q url.Values, last string, p printer) error {
	stream := tapclient.Stream{
		URL: tap + "/api/v1/events?" + q.Encode(), Last: last, Retry: followRetry,
		Event: func(name string, data []byte) error {
			if name != "failure" {
				return nil
			}
			var r record.Record
			if err := json.Unmarshal(data, &r); err != nil {
				return noResponse(err)
			}
			return errors.Join(p.failure(&r, data), p.Flush())
		},
		Missed: func() {
			fmt.Fprintln(std.err, "ksyun-tap: some failures were evicted from the journal before they were read")
		},
		Broken: func(err error) {
			fmt.Fprintf(std.err, "ksyun-tap: %v; trying again every %v\n", err, followRetry)
		},
	}
	err := stream.Follow(ctx)
	if refused, ok := errors.AsType[tapclient.Error](err); ok {
		return noResponse(refused)
	}
	return err
}

// printer prints what the API of a tap returned: its JSON as it is, or rows of a table.
type printer struct {
	*output.Table

	out  io.Writer
	json bool
}

func (v *failuresVerb) printer(std stdio, now time.Time, head ...string) printer {
	return printer{output.NewTable(std.out, now, head...), std.out, v.output == "json"}
}

func (p printer) print(raw json.RawMessage, blame classify.Blame, message string, cells ...string) error {
	if !p.json {
		p.Add(blame, []string{message}, cells...)
		return nil
	}
	_, err := fmt.Fprintf(p.out, "%s\n", raw)
	return err
}

func (p printer) failure(r *record.Record, raw json.RawMessage) error {
	return p.print(raw, r.Blame, r.Message, p.Time(r.Time), output.OrDash(cmp.Or(r.Code, r.CatalogCode, string(r.Fault))), output.OrDash(output.OrEmpty(r.Status)),
		output.OrDash(r.Category), output.OrDash(r.Blame), output.OrDash(r.Action), cmp.Or(r.RequestID, r.ID))
}
