package classify

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ksyun-tap/ksyun-tap/classify/redact"
	"github.com/ksyun-tap/ksyun-tap/internal/testfile"
)

func TestEmpty(t *testing.T) {
	tests := []struct {
		name, action, body string
		want               bool
	}{
		{"one empty series", "GetMetricStatistics", `{"getMetricStatisticsResult":{"datapoints":{"member":[]},"label":"cpu"},"responseMetadata":{"requestId":"r"}}`, true},
		{"with spaces", "GetMetricStatistics", "{\"getMetricStatisticsResult\": {\"label\": \"cpu\", \"datapoints\" : { \"member\" : [ ] } } }", true},
		{"no list of members", "GetMetricStatistics", `{"getMetricStatisticsResult":{"datapoints":{},"label":"cpu"}}`, true},
		{"null", "GetMetricStatistics", `{"getMetricStatisticsResult":{"datapoints":null,"label":"cpu"}}`, true},
		{"data", "GetMetricStatistics", `{"getMetricStatisticsResult":{"datapoints":{"member":[{"average":"1"}]},"label":"cpu"}}`, false},
		{"the metric is named like the list", "GetMetricStatistics", `{"getMetricStatisticsResult":{"label":"points","datapoints":{"member":[{"average":"1"}]}}}`, false},
		{"another action", "ListMetrics", `{"datapoints":{"member":[]}}`, false},
		{"no list at all", "GetMetricStatistics", `{"requestId":"r"}`, false},
		{"batch without data", "GetMetricStatisticsBatch", `{"getMetricStatisticsBatchResults":[{"instance":"a","label":"c","datapoints":{"member":[]}},{"instance":"b","datapoints":{"member":[]}}]}`, true},
		{"batch, second has data", "GetMetricStatisticsBatch", `{"getMetricStatisticsBatchResults":[{"instance":"a","label":"c","datapoints":{"member":[]}},{"instance":"b","datapoints":{"member":[{"average":1}]}}]}`, false},
		{"batch without results", "GetMetricStatisticsBatch", `{"getMetricStatisticsBatchResults":[],"errorMessage":[]}`, true},
		{"newer batch", "GetMetricStatisticsBatch", `{"getMetricStatisticsBatchResults":[{"instance":"a","metricName":"c","points":[]}]}`, true},
		{"newer batch with data", "GetMetricStatisticsBatch", `{"getMetricStatisticsBatchResults":[{"instance":"a","metricName":"c","points":[{"values":[{"average":1}]}]}]}`, false},
		{"query", "QueryRange", `{"status":"success","isPartial":false,"data":{"resultType":"matrix","result":[]}}`, true},
		{"query with data", "QueryRange", `{"status":"success","data":{"resultType":"matrix","result":[{"values":[[1,"2"]]}]}}`, false},
		{"XML", "GetMetricStatistics", `<GetMetricStatisticsResponse><GetMetricStatisticsResult><Datapoints></Datapoints><Label>cpu</Label></GetMetricStatisticsResult></GetMetricStatisticsResponse>`, true},
		{"XML, short", "GetMetricStatistics", `<GetMetricStatisticsResponse><GetMetricStatisticsResult><Datapoints/></GetMetricStatisticsResult></GetMetricStatisticsResponse>`, true},
		{"XML with data", "GetMetricStatistics", `<GetMetricStatisticsResponse><GetMetricStatisticsResult><Datapoints>
<member><Average>1</Average></member></Datapoints></GetMetricStatisticsResult></GetMetricStatisticsResponse>`, false},
		{"XML, second has data", "GetMetricStatisticsBatch", `<R><GetMetricStatisticsBatchResult><Datapoints> </Datapoints></GetMetricStatisticsBatchResult><GetMetricStatisticsBatchResult><Datapoints><member/></Datapoints></GetMetricStatisticsBatchResult></R>`, false},
	}
	c := New(DefaultCatalog())
	for _, tt := range tests {
		for coding, body := range map[string][]byte{"": []byte(tt.body), "gzip": gzipped(t, []byte(tt.body))} {
			v := c.Response(&Call{Action: tt.action}, &Response{Status: 200, Body: body, Header: plainFields{{"Content-Encoding", []byte(coding)}}})
			if v.Empty != tt.want || v.Outcome != OutcomeSuccess {
				t.Errorf("%s %s: %s, empty %t, want %t", tt.name, coding, v.Outcome, v.Empty, tt.want)
			}
		}
	}
	// A part of a body proves nothing, and an error is not an empty success.
	body := []byte(tests[0].body)
	if v := c.Response(&Call{Action: "GetMetricStatistics"}, &Response{Status: 200, Body: body[:len(body)-3], Truncated: true}); v.Empty {
		t.Error("a truncated body is empty")
	}
	if v := c.Response(&Call{Action: "GetMetricStatistics"}, &Response{Status: 500, Body: body}); v.Empty {
		t.Error("an error is empty")
	}
}

func TestNewestPoint(t *testing.T) {
	at := time.Date(2026, time.March, 18, 6, 0, 0, 0, time.UTC)
	json := string(metricsJSON(4 << 10))
	tests := []struct {
		name, body, tail string
		want             time.Time
	}{
		{"one point", `{"datapoints":{"member":[{"timestamp":"2026-03-18T06:00:00Z","unixTimestamp":1773813600000,"average":"1"}]}}`, "", at},
		{"seconds", `{"values":[{"timestamp": 1773813600, "average": 1}]}`, "", at},
		{"ascending", `[{"timestamp":"2026-03-18T05:00:00Z"},{"timestamp":"2026-03-18T06:00:00Z"}]`, "", at},
		{"descending", `[{"timestamp":"2026-03-18T06:00:00Z"},{"timestamp":"2026-03-18T05:00:00Z"}]`, "", at},
		{"in the tail", `[{"timestamp":"2026-03-18T05:00:00Z"},`, `{"timestamp":"2026-03-18T06:00:00Z"}]`, at},
		{"none in the tail", `[{"timestamp":"2026-03-18T05:00:00Z"},`, `],"label":"cpu"}`, time.Time{}},
		{"long", json, "", at.Add(time.Duration(strings.Count(json, "timestamp")-1) * time.Minute)},
		{"XML", "<Datapoints><member><Average>1</Average><Timestamp>2026-03-18T06:00:00Z</Timestamp></member></Datapoints>", "", at},
		{"none", `{"datapoints":{"member":[]}}`, "", time.Time{}},
		{"no time", `{"timestamp":"soon"}`, "", time.Time{}},
		{"cut", `{"timestamp":"2026-03-18T06`, "", time.Time{}},
	}
	for _, tt := range tests {
		var tail []byte
		if tt.tail != "" {
			tail = []byte(tt.tail)
		}
		if got := NewestPoint([]byte(tt.body), tail); !got.Equal(tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestTotalCount(t *testing.T) {
	for body, want := range map[string]int{
		`{"data":[],"totalCount":42,"requestId":"r"}`:             42,
		`{"TotalCount": "7"}`:                                     7,
		"<ListResponse><TotalCount>9</TotalCount></ListResponse>": 9,
		`{"page":{"pageIndex":1,"pageSize":10,"totalCount":1}}`:   1,
		`{"totalCount":null}`:                                     -1,
		`{"totalCount":12345678901}`:                              -1,
		`{"data":[]}`:                                             -1,
		`{"totalCount":12`:                                        -1, // cut
		`{"totalCount":-3}`:                                       -1,
	} {
		got, ok := TotalCount([]byte(body))
		if !ok {
			got = -1
		}
		if got != want {
			t.Errorf("%s: %d, want %d", body, got, want)
		}
	}
}

func TestReadQuery(t *testing.T) {
	const plain = "/?Action=GetMetricStatistics&Version=2010-05-25&Namespace=KEC&InstanceID=i-1&MetricName=cpu&Period=60"
	key := func(target, body string) uint64 { q := ReadQuery([]byte(target), []byte(body)); return q.Key }
	same := []string{
		plain + "&StartTime=2026-03-18T05%3A00%3A00Z&EndTime=2026-03-18T06%3A00%3A00Z",
		plain + "&StartTime=2026-03-19T05%3A00%3A00Z&X-Amz-Signature=ab&X-Amz-Date=1",
		plain + "&AccessKeyId=a&SignatureMethod=HMAC-SHA256&SignatureNonce=1&Nonce=2&X-Ksc-Security-Token=t",
		"/?Period=60&MetricName=cpu&InstanceID=i-1&Namespace=KEC&Version=2010-05-25&Action=GetMetricStatistics&PageIndex=2",
	}
	for _, s := range same {
		if key(s, "") != key(plain, "") {
			t.Errorf("%s is another query", s)
		}
	}
	for _, s := range []string{strings.Replace(plain, "i-1", "i-2", 1), strings.Replace(plain, "=60", "=300", 1), plain + "&Region=x"} {
		if key(s, "") == key(plain, "") {
			t.Errorf("%s is the same query", s)
		}
	}
	if key("/", `{"Metrics":[{"InstanceID":"a"}],"StartTime":"1"}`) != key("/", `{"StartTime":"2","Metrics":[{"InstanceID":"a"}]}`) ||
		key("/", `{"Metrics":[{"InstanceID":"a"}]}`) == key("/", `{"Metrics":[{"InstanceID":"b"}]}`) {
		t.Error("keys of JSON bodies")
	}

	q := ReadQuery([]byte(same[0]), nil)
	start, end := q.Interval()
	if want := time.Date(2026, time.March, 18, 6, 0, 0, 0, time.UTC); !end.Equal(want) || !start.Equal(want.Add(-time.Hour)) {
		t.Errorf("interval %v to %v", start, end)
	}
	if q.Period() != time.Minute || q.Name() != "i-1 cpu" {
		t.Errorf("period %v, name %q", q.Period(), q.Name())
	}
	q = ReadQuery([]byte("/"), []byte(`{"StartTime":"2026-03-18T05:00:00Z","EndTime":1773813600,"Period":300,"PageIndex":3,"PageSize":"20"}`))
	start, end = q.Interval()
	if page, size := q.Page(); end.Sub(start) != time.Hour || q.Period() != 5*time.Minute || page != 3 || size != 20 {
		t.Errorf("of a body: %v to %v, period %v, page %d of %d", start, end, q.Period(), page, size)
	}
	q = ReadQuery([]byte("/?StartTime=yesterday&Period=1m&PageIndex=-1&InstanceID=AKLTsecretsecretsecret1"), nil)
	start, _ = q.Interval()
	if page, _ := q.Page(); !start.IsZero() || q.Period() != 0 || page != 0 || strings.Contains(q.Name(), "AKLT") {
		t.Errorf("%v, %v, %d, %q", start, q.Period(), page, q.Name())
	}
}

func TestItems(t *testing.T) {
	c := New(DefaultCatalog())
	partial := testfile.Read(t, "testdata/samples/batch-partial-failure.json")
	metric := func(n int) string {
		return fmt.Sprintf(`{"Namespace":"KEC","InstanceID":"00000000-aaaa-4bbb-8ccc-%012d","MetricName":"cpu.utilizition.total"}`, n)
	}
	request := func(n int) string {
		var all []string
		for i := range n {
			all = append(all, metric(i+1))
		}
		return `{"Period":60,"Metrics":[` + strings.Join(all, ",") + `]}`
	}
	name := func(n int) string { return fmt.Sprintf("00000000-aaaa-4bbb-8ccc-%012d cpu.utilizition.total", n) }
	tests := []struct {
		name          string
		request       string
		response      string
		said          int
		total, failed int
		names         []string
	}{
		{"one of two", request(2), string(partial), 1, 2, 1, []string{name(2)}},
		{"all", request(2), `{"getMetricStatisticsBatchResults":[],"errorMessage":["no such metric","no such metric"]}`, 2, 2, 2, []string{name(1), name(2)}},
		{"messages about items that have data", request(1), string(partial), 1, 1, 1, nil},
		{"no request", "", string(partial), 1, 0, 1, nil},
		{"request cut", request(2)[:80], string(partial), 1, 0, 1, nil},
		{"XML", request(2), "<R><ErrorMessages><ErrorMessage>m</ErrorMessage></ErrorMessages></R>", 1, 2, 1, nil},
		{"other fields", `{"metrics":[{"InstanceID":"b"},{"MetricName":"m"},7,{}]}`, `{"getMetricStatisticsBatchResults":[]}`, 1, 2, 2, []string{"b", "m"}},
		{"secret", `{"Metrics":[{"InstanceID":"AKLTsecretsecretsecret1"}]}`, `{"getMetricStatisticsBatchResults":[]}`, 1, 1, 1, []string{redact.Text("AKLTsecretsecretsecret1")}},
	}
	for _, tt := range tests {
		for coding, body := range map[string][]byte{"": []byte(tt.response), "gzip": gzipped(t, []byte(tt.response))} {
			got := c.Items([]byte(tt.request), &Response{Status: 200, Body: body, Header: plainFields{{"Content-Encoding", []byte(coding)}}}, tt.said)
			if got.Total != tt.total || got.Failed != tt.failed || strings.Join(got.Names, "|") != strings.Join(tt.names, "|") {
				t.Errorf("%s %s: %+v, want %d of %d: %v", tt.name, coding, got, tt.failed, tt.total, tt.names)
			}
		}
	}
	many := c.Items([]byte(request(200)), &Response{Status: 200, Body: []byte(`{"errorMessage":["x"]}`)}, 1)
	if many.Failed != 200 || many.Total != 200 || len(many.Names) != MaxItemNames {
		t.Errorf("of 200: %d of %d, %d named", many.Failed, many.Total, len(many.Names))
	}
	if got := c.Items([]byte(request(2)), &Response{Status: 200, Body: partial, Truncated: true}, 1); got.Names != nil {
		t.Errorf("of a truncated response: %+v", got)
	}
}
