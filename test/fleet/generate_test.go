//go:build e2e

package fleet

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/exporter/logs"
	"github.com/ksyun-tap/ksyun-tap/exporter/record"
)

// generator makes the log lines of many taps with the packages that a tap writes them
// with, and sends them to VictoriaLogs.
type generator struct {
	insert   string // URL of VictoriaLogs
	failures int
	taps     int
	from, to time.Time // times of the failures
	samples  int       // number of failures to return, about

	bytes atomic.Int64 // of all lines
}

// sample is a failure that was sent.
type sample struct {
	requestID, tap string
	time           time.Time
}

const (
	chunk   = 400 // lines that certainly fit into the logger's buffer
	batch   = 4   // chunks in one request
	senders = 4
)

// run sends all failures and returns some of them, chosen at random.
func (g *generator) run(ctx context.Context) ([]sample, error) {
	perTap := g.failures / g.taps
	every := max(1, g.failures/g.samples)
	samples := make([][]sample, g.taps)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(senders)
	for tap := range g.taps {
		group.Go(func() (err error) {
			samples[tap], err = g.tap(ctx, tap, perTap, every)
			return err
		})
	}
	err := group.Wait()
	return slices.Concat(samples...), err
}

// responses are what the API sends to calls in turn.
var responses = []struct {
	status int
	body   string
}{
	{403, `{"RequestId":"%s","Error":{"Type":"Sender","Code":"SignatureDoesNotMatch","Message":"The request signature we calculated does not match the signature you provided."}}`},
	{409, `{"RequestId":"%s","Error":{"Type":"Sender","Code":"LimitExceeded","Message":"Request was rejected because the request speed of this openAPI is beyond the current flow control limit."}}`},
	{500, `{"RequestId":"%s","Error":{"Type":"Receiver","Code":"ServiceTimeout","Message":"Internal Service is unavailable because of time out."}}`},
	{400, `{"RequestId":"%s","Error":{"Type":"Sender","Code":"InvalidParameterValue","Message":"The value of parameter Period is invalid."}}`},
	{503, `{"RequestId":"%s","Error":{"Type":"Receiver","Code":"ServiceUnavailable","Message":"The request has failed due to a temporary failure of the server."}}`},
}

// noFields is an empty classify.Header.
type noFields struct{}

func (noFields) Get(string) []byte                 { return nil }
func (noFields) Fields() iter.Seq2[[]byte, []byte] { return func(func(name, value []byte) bool) {} }

// tap sends n failures of a tap.
func (g *generator) tap(ctx context.Context, tap, n, every int) (samples []sample, err error) {
	random := rand.New(rand.NewPCG(uint64(tap), 1))
	name := fmt.Sprintf("tap-%04d", tap)
	var out buffer
	var dropped atomic.Int64
	log, err := logs.New(logs.Config{Writer: &out, Dropped: func(_ string, n int) { dropped.Add(int64(n)) }})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	events := logs.NewEvents(log.Logger, logs.EventsConfig{Access: true}) // without sampling
	classifier := classify.New(classify.DefaultCatalog())
	ids := record.NewIDs()
	step := g.to.Sub(g.from) / time.Duration(n)
	for i := range n {
		end := g.from.Add(time.Duration(i)*step + time.Duration(random.Int64N(int64(step))))
		r := failure(classifier, random, end, i)
		r.ID = ids.Next(end).String()
		events.Write(r)
		if random.IntN(every) == 0 {
			samples = append(samples, sample{r.RequestID, name, r.Time})
		}
		last := i == n-1
		if (i+1)%chunk == 0 || last {
			for out.lines.Load() < int64(i+1)-dropped.Load() {
				_ = log.Sync() // fails if the writer is late; then it is waited for again
			}
		}
		if (i+1)%(chunk*batch) == 0 || last {
			if lost := dropped.Load(); lost > 0 {
				return nil, fmt.Errorf("%d lines were dropped", lost)
			}
			if err := g.send(ctx, name, out.take()); err != nil {
				return nil, err
			}
		}
	}
	return samples, nil
}

// failure returns the record of a failed call with a random request ID.
func failure(c *classify.Classifier, random *rand.Rand, end time.Time, i int) *record.Record {
	var uuid [16]byte
	binary.BigEndian.PutUint64(uuid[:8], random.Uint64())
	binary.BigEndian.PutUint64(uuid[8:], random.Uint64())
	uuid[6], uuid[8] = uuid[6]&0x0f|0x40, uuid[8]&0x3f|0x80
	digits := hex.EncodeToString(uuid[:])
	id := fmt.Sprintf("%s-%s-%s-%s-%s", digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:])

	target := fmt.Appendf(nil, "/?Action=GetMetricStatistics&Version=2010-05-25&Namespace=KEC&InstanceID=00000000-aaaa-4bbb-8ccc-%012d&MetricName=cpu.utilizition.total&Period=60", random.IntN(1000))
	call, _ := c.Request(&classify.Request{Method: http.MethodGet, Target: target, Host: []byte("monitor.api.ksyun.com"), Header: noFields{}})
	response := responses[(i+int(uuid[0]))%len(responses)]
	o := &classify.Observation{
		Call: call, Start: end.Add(-time.Duration(1+random.IntN(500)) * time.Millisecond), End: end,
		Source: classify.SourceForward, Method: http.MethodGet, Protocol: "1.1", Scheme: "http", Port: 80, Target: target,
		Client:   netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 1, byte(random.IntN(256)), 7}), uint16(32768+random.IntN(28000))),
		Upstream: netip.MustParseAddrPort("192.0.2.7:80"), UserAgent: []byte("aws-sdk-go/1.25.3 (go1.21; linux; amd64)"), Credential: "key-5f2c9a",
	}
	o.Verdict = c.Response(&o.Call, &classify.Response{Status: response.status, Header: noFields{}, Body: fmt.Appendf(nil, response.body, id)})
	span := record.Span{TraceID: uuid, Flags: 1, Exported: true}
	binary.BigEndian.PutUint64(span.SpanID[:], random.Uint64()|1)
	return new(record.Maker).Identified(o, &record.Identity{Span: span})
}

// send sends lines as a log shipper does.
func (g *generator) send(ctx context.Context, tap string, lines []byte) error {
	g.bytes.Add(int64(len(lines)))
	q := url.Values{"_stream_fields": {"instance"}, "_time_field": {"ts"}, "_msg_field": {"msg"}, "extra_fields": {"instance=" + tap}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, g.insert+"/insert/jsonline?"+q.Encode(), bytes.NewReader(lines))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/stream+json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(res.Body)
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("insert: status %d: %s", res.StatusCode, body)
	}
	return nil
}
