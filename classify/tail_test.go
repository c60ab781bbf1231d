package classify

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"strings"
	"testing"
)

// longBatch is the response of a batch whose data alone is longer than what is
// kept of the beginning of a body.
func longBatch(format string, failed int) string {
	var data, messages strings.Builder
	for i := range 2000 {
		fmt.Fprintf(&data, `{"instance":"i-%04d","label":"a \"quoted\\\" label, {[","datapoints":{"member":[{"average":"1.25","errorMessage":["data"]}]}},`, i)
	}
	for i := range failed {
		if i > 0 {
			messages.WriteByte(',')
		}
		fmt.Fprintf(&messages, `"i-%04d product does not belong to this user"`, i)
	}
	return fmt.Sprintf(format, strings.TrimSuffix(data.String(), ","), messages.String())
}

const (
	messagesLast = `{"getMetricStatisticsBatchResults":[%s],"responseMetadata":{"requestId":"the-id"},"errorMessage":[%s]}` + "\n"
	metadataLast = `{"getMetricStatisticsBatchResults":[%s] , "errorMessage" : [%s] , "responseMetadata" : {"requestId":"the-id"} }`
)

// split cuts a body as the collector does.
func split(body []byte) (begin, tail []byte) {
	const limit = 64 << 10
	if len(body) <= limit {
		return body, nil
	}
	return body[:limit], body[max(limit, len(body)-TailBytes):]
}

func TestTail(t *testing.T) {
	member := "<member><Average>1.25</Average><Message>data</Message></member>"
	xml := "<GetMetricStatisticsBatchV2Response><Results>" + strings.Repeat(member, 3000) + "</Results><ErrorMessages><ErrorMessage>a product does not belong to this user</ErrorMessage>" +
		"<ErrorMessage>b</ErrorMessage></ErrorMessages><ResponseMetadata><RequestId>the-id</RequestId></ResponseMetadata></GetMetricStatisticsBatchV2Response>"
	c := New(DefaultCatalog())
	f := func(name, body string, outcome Outcome, items int, id string) {
		t.Helper()
		begin, tail := split([]byte(body))
		v := c.Response(nil, &Response{Status: 200, Body: begin, Truncated: tail != nil, Tail: tail})
		if v.Outcome != outcome || v.FailedItems != items || v.RequestID.String() != id {
			t.Errorf("%s: %s, %d items, %q; want %s, %d, %q", name, v.Outcome, v.FailedItems, v.RequestID, outcome, items, id)
		}
	}
	f("no message", longBatch(messagesLast, 0), OutcomeSuccess, 0, "the-id")
	f("messages last", longBatch(messagesLast, 3), OutcomePartial, 3, "the-id")
	f("metadata last", longBatch(metadataLast, 3), OutcomePartial, 3, "the-id")
	f("many messages", longBatch(messagesLast, 150), OutcomePartial, 150, "the-id")
	f("an error behind the data", longBatch(`{"data":[%s],"error":{"code":"ServiceTimeout"},"m":[%s]}`, 0), OutcomeMasked, 0, "")
	f("messages within the data", longBatch(`{"requestId":"the-id","data":{"list":[%s],"errorMessage":["x"],"error":{"code":"X"},"y":[%s]}}`, 0), OutcomeSuccess, 0, "the-id")
	f("a list", "["+longBatch(`%s%s`, 0)+`,{"errorMessage":["x"]}]`, OutcomeSuccess, 0, "")
	f("broken off", longBatch(messagesLast, 3)+`,{"a"`, OutcomeSuccess, 0, "")
	f("XML", xml, OutcomePartial, 2, "the-id")
}

// TestTailAtEveryCut moves the beginning of the tail over a document and
// compares what is read with what the whole of it says.
func TestTailAtEveryCut(t *testing.T) {
	const doc = `{"a":"x","data":[{"error":"\\\"]}, {","n":[1,2,{"errorMessage":["no"]}]},"\\"],"requestId":"the-id","errorMessage":["one","two \" three"],"z":"\\\\"}`
	at := strings.Index(doc, `"errorMessage":["one"`)
	for cut := range len(doc) {
		tail := []byte(doc)[cut:]
		rd := reading{form: FormJSON}
		readTail(tail, &rd)
		want := 0
		if cut < at {
			want = 2
		}
		if rd.items != want || rd.failed {
			t.Errorf("cut at %d (%s): %d items, failed %v; want %d", cut, tail, rd.items, rd.failed, want)
		}
	}
}

func TestTailOfCompressedBody(t *testing.T) {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write([]byte(longBatch(messagesLast, 2))); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	if b.Len() > 64<<10 {
		t.Fatalf("%d bytes: the test needs less", b.Len())
	}
	c := New(DefaultCatalog())
	v := c.Response(nil, &Response{Status: 200, Body: b.Bytes()})
	if v.Outcome != OutcomePartial || v.FailedItems != 2 || v.RequestID.String() != "the-id" {
		t.Errorf("%s, %d items, %q", v.Outcome, v.FailedItems, v.RequestID)
	}
	v = c.Response(nil, &Response{Status: 200, Body: b.Bytes()[:b.Len()-20], Truncated: true, Tail: b.Bytes()[b.Len()-20:]})
	if v.Outcome != OutcomeSuccess {
		t.Errorf("broken off: %s", v.Outcome)
	}
}

func FuzzTail(f *testing.F) {
	f.Add([]byte(longBatch(messagesLast, 3))[:2000], []byte(`"b\\"],"errorMessage":["a","b"],"requestId":"x"}`))
	f.Add([]byte(`{"a":`), []byte(`}`))
	f.Add([]byte(`<R>`), []byte(`<ErrorMessages><ErrorMessage>x</ErrorMessage>`))
	c := New(DefaultCatalog())
	f.Fuzz(func(t *testing.T, begin, tail []byte) {
		v := c.Response(nil, &Response{Status: 200, Body: begin, Truncated: true, Tail: tail})
		if v.FailedItems < 0 || v.FailedItems > len(begin)+len(tail) {
			t.Errorf("%d failed items", v.FailedItems)
		}
		if v.Outcome == "" {
			t.Error("no outcome")
		}
	})
}
