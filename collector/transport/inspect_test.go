package transport

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/ksyun-tap/ksyun-tap/classify/signature"
)

const refusedBody = `{"Error":{"Code":"SignatureDoesNotMatch","Message":"The request signature we calculated does not match the signature you provided.","Type":"Sender"},"RequestId":"01234567-89ab-4cde-8f01-23456789abcd"}`

func TestTransportInspectsRefusedSignatures(t *testing.T) {
	r := newTransportRig(t, func(w http.ResponseWriter, q *http.Request) {
		_, _ = io.Copy(io.Discard, q.Body)
		w.WriteHeader(http.StatusForbidden)
		_, _ = io.WriteString(w, refusedBody)
	})
	req := r.request(http.MethodPost, "/?Action=a", strings.NewReader("body"))
	req.Header.Set("X-Amz-Date", "20261123T080000Z")
	req.Header.Set("X-Amz-Content-Sha256", strings.Repeat("0", 64))
	req.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential="+transportKey+"/20261123/cn-beijing-6/monitor/aws4_request, "+
		"SignedHeaders=content-length;host;user-agent;x-amz-date, Signature="+strings.Repeat("a", 64))
	resp, err := r.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
	<-r.sink
	o := (<-r.sink).obs
	if o.Date.IsZero() || time.Since(o.Date).Abs() > time.Hour {
		t.Errorf("date %v", o.Date)
	}
	if s := o.Signature; s == nil || len(s.Findings) == 0 || s.Findings[0].Check != signature.CheckPayloadHash {
		t.Fatalf("signature %+v", s)
	}
	for _, f := range o.Signature.Findings {
		if f.Check == signature.CheckFieldMissing {
			t.Errorf("%v, which net/http adds", f.Facts)
		}
	}
}
