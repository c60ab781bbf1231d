package collector

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ksyun-tap/ksyun-tap/classify/signature"
)

const refusedBody = `{"Error":{"Code":"SignatureDoesNotMatch","Message":"The request signature we calculated does not match the signature you provided.","Type":"Sender"},"RequestId":"01234567-89ab-4cde-8f01-23456789abcd"}`

// TestRefusedSignaturesAreInspected checks what is handed over of a request
// that was refused for its signature, of others, and of the responses' dates.
func TestRefusedSignaturesAreInspected(t *testing.T) {
	const date = "Date: Mon, 23 Nov 2026 08:00:00 GMT\r\n"
	f := func(name, change, by, head, body string, dated bool, want ...signature.Check) {
		t.Helper()
		r := newRig(t)
		req := sdkRequest(t, false, http.MethodPost, "Action=GetMetricStatisticsBatch&Version=2018-11-14", `{"Metrics":[]}`)
		sent := strings.Replace(req, change, by, 1)
		if change != "" && sent == req {
			t.Fatalf("%s: %q is not in %q", name, change, req)
		}
		c := r.client()
		c.Send(sent)
		up := r.upstream()
		up.Expect(sent)
		response := "HTTP/1.1 " + head + "Content-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n" + body
		up.Deliver(response, c)
		r.begun()
		o := r.observed()
		at := time.Date(2026, time.November, 23, 8, 0, 0, 0, time.UTC)
		if !dated {
			at = time.Time{}
		}
		assert.True(t, o.Date.Equal(at), "%s: date %v, want %v", name, o.Date, at)
		inspected := o.Signature != nil
		require.Equal(t, strings.HasPrefix(head, "403"), inspected, "%s: inspected", name)
		var got []signature.Check
		if o.Signature != nil {
			for _, finding := range o.Signature.Findings {
				got = append(got, finding.Check)
			}
		}
		if len(got) != len(want) || len(want) > 0 && got[0] != want[0] {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
	f("success", "", "", "200 OK\r\n"+date, "{}", true)
	f("success out of a cache", "", "", "200 OK\r\nAge: 3\r\n"+date, "{}", false)
	f("throttled", "", "", "409 Conflict\r\n"+date, `{"Error":{"Code":"LimitExceeded"}}`, true)
	f("a right form", "", "", "403 Forbidden\r\n"+date, refusedBody, true)
	f("no date", "", "", "403 Forbidden\r\n", refusedBody, false)
	f("another service", "/monitor/", "/kec/", "403 Forbidden\r\n"+date, refusedBody, true, signature.CheckScopeService)
	f("another body", "X-Amz-Date", "X-Amz-Content-Sha256: "+strings.Repeat("0", 64)+"\r\nX-Amz-Date", "403 Forbidden\r\n"+date, refusedBody, true, signature.CheckPayloadHash)
}
