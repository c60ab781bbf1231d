package collector

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/collector/relay"
	"github.com/ksyun-tap/ksyun-tap/collector/relay/http1"
	"github.com/ksyun-tap/ksyun-tap/collector/upstream"
	"github.com/ksyun-tap/ksyun-tap/internal/rawconn"
)

// lender lends its exchange, when it is done, until the next receive from lent.
type lender struct {
	*handler
	lent chan *relay.Exchange
}

func (l *lender) Done(x *relay.Exchange) {
	l.lent <- x
	l.lent <- nil
	l.handler.Done(x)
}

// peersNumber is the number of a call in the messages of bench/peers.
const peersNumber = "000000000000"

// peersMessages returns a request and a success of about 1 KiB as in bench/peers.
func peersMessages() (request, response []byte) {
	request = []byte("GET /?Action=GetMetricStatistics&Version=2010-05-25&Namespace=KEC&MetricName=cpu.utilizition.total" +
		"&InstanceID=00000000-aaaa-4bbb-8ccc-" + peersNumber + "&StartTime=2026-11-01T00:00:00Z&EndTime=2026-11-01T01:00:00Z&Period=60 HTTP/1.1\r\n" +
		"Host: " + host + "\r\nUser-Agent: aws-sdk-go/1.44.204 (go1.26; linux; amd64)\r\nAccept: application/json\r\n" +
		"Authorization: AWS4-HMAC-SHA256 Credential=AKLTbench/20261101/cn-beijing-6/monitor/aws4_request, " +
		"SignedHeaders=accept;content-type;host;x-amz-date, Signature=" + strings.Repeat("0", 64) + "\r\n" +
		"Content-Type: application/x-www-form-urlencoded; charset=utf-8\r\nX-Amz-Date: 20261101T000000Z\r\nAccept-Encoding: gzip\r\n\r\n")
	const id = "00000000-1111-1222-8333-" + peersNumber
	body := `{"getMetricStatisticsResult":{"datapoints":{"member":[` +
		strings.Repeat(`{"timestamp":"2026-03-18T06:00:00Z","unixTimestamp":1773813600000,"average":"1.25","max":"2.0","min":"0.5"},`, 7) +
		`{"timestamp":"2026-03-18T06:00:00Z","unixTimestamp":1773813600000,"average":"1.25","max":"2.0","min":"0.5"}]},` +
		`"label":"cpu.utilizition.total"},"responseMetadata":{"requestId":"` + id + `"}}`
	response = fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nServer: bench\r\nDate: Sun, 01 Nov 2026 00:00:00 GMT\r\n"+
		"Content-Type: application/json;charset=UTF-8\r\nX-KSC-REQUEST-ID: %s\r\nContent-Length: %d\r\n\r\n%s", id, len(body), body)
	return request, response
}

// BenchmarkSuccess measures what a success costs besides system calls and the sink: its
// heads are parsed, it is routed, and Sent and Done are called.
func BenchmarkSuccess(b *testing.B) {
	request, response := peersMessages()
	back, front := rawconn.Listen(b), rawconn.Listen(b)
	go rawconn.AnswerAll(back, response)
	p := newProxy(b, Config{
		Classifier: classify.New(classify.DefaultCatalog()),
		Sink:       nobody{},
		Policy:     Policy{ConnectTo: []upstream.ConnectTo{connectTo(b, host+":80="+back.Addr().String())}},
	})
	l := &lender{lent: make(chan *relay.Exchange)}
	go p.server.Serve(front, relay.Intake{NewHandler: func(client netip.AddrPort) relay.Handler {
		l.handler = newHandler(p, &proxyWay{}, client)
		return l
	}})
	b.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		p.Shutdown(ctx)
	})
	c := rawconn.Open(b, front.Addr().String())
	_, err := c.Write(request)
	require.NoError(b, err)
	x := <-l.lent
	defer func() { <-l.lent }()
	h := l.handler

	inRequest, inResponse := bytes.Index(request, []byte(peersNumber)), bytes.Index(response, []byte(peersNumber))
	count := func(number []byte) { // as a decimal
		for i := len(number) - 1; ; i-- {
			if number[i]++; number[i] <= '9' {
				return
			}
			number[i] = '0'
		}
	}
	const most = 64 << 10 // bytes of a head
	b.ReportAllocs()
	for b.Loop() {
		count(request[inRequest:][:len(peersNumber)])
		count(response[inResponse:][:len(peersNumber)])
		x.Finish = x.Finish.Add(time.Microsecond)
		end, _, _ := http1.ScanRequest(request, 0, most)
		if x.Request.Parse(request, 0, end) != nil {
			b.Fatal("the request is refused")
		}
		route, err := h.Route(x)
		if err != nil {
			b.Fatal(err)
		}
		x.Request.Prepare(route.Keep)
		h.Sent(x)
		end, _, _ = http1.ScanResponse(response, 0, most)
		if x.Response.Parse(response, 0, end) != nil {
			b.Fatal("the response cannot be read")
		}
		h.Done(x)
	}
}
