//go:build unix

package classify

import (
	"syscall"
	"testing"
)

// cpuTime is the CPU time of the process in nanoseconds.
func cpuTime(b *testing.B) int64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return u.Utime.Nano() + u.Stime.Nano()
}

// BenchmarkVerdict measures what a call costs before its metrics are counted: its
// request and its response are read, and secrets are removed from the verdict.
func BenchmarkVerdict(b *testing.B) {
	c := New(DefaultCatalog())
	r := &Request{
		Target: []byte("/?Action=GetMetricStatistics&Version=2010-05-25&InstanceID=00000000-aaaa-4bbb-8ccc-000000000001&Namespace=KEC"),
		Host:   []byte("monitor.api.ksyun.com"),
		Header: plainFields{
			{"Host", []byte("monitor.api.ksyun.com")},
			{"User-Agent", []byte("aws-sdk-go/1.44.109 (go1.19; linux; amd64)")},
			{"Authorization", []byte("AWS4-HMAC-SHA256 Credential=AKLTcanaryAccessKey0/20261123/cn-beijing-6/monitor/aws4_request, SignedHeaders=accept;host;x-amz-date, Signature=0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef")},
			{"Accept", []byte("application/json")},
			{"X-Amz-Date", []byte("20261123T080000Z")},
			{"Accept-Encoding", []byte("gzip")},
		},
	}
	const id = `"RequestId":"7d4e0d4b-9c0b-4fd1-a2c1-f6f8c1a1f3b2"`
	for _, bb := range []struct {
		name   string
		status int
		body   string
	}{
		{"success", 200, string(metricsJSON(1 << 10))},
		{"code and message of the catalogue", 409, "{" + id + `,"Error":{"Code":"LimitExceeded","Message":"Request was rejected because the request speed of this openAPI is beyond the current flow control limit."}}`},
		{"message that names the instance", 400, "{" + id + `,"Error":{"Code":"InvalidParameterValue","Message":"the value of Namespace for instance 00000000-aaaa-4bbb-8ccc-000000000001 is not valid"}}`},
		{"message that repeats the key", 403, "{" + id + `,"Error":{"Code":"InvalidClientTokenId","Message":"the key AKLTcanaryAccessKey0 does not exist"}}`},
		{"code that is not in the catalogue", 400, "{" + id + `,"Error":{"Code":"Some.Code","Message":"the value of Namespace for instance 00000000-aaaa-4bbb-8ccc-000000000001 is not valid"}}`},
	} {
		response := &Response{Status: bb.status, Header: responseHead, Body: []byte(bb.body)}
		for _, scrub := range []bool{false, true} {
			name := bb.name + "/read"
			if scrub {
				name += " and scrub"
			}
			b.Run(name, func(b *testing.B) {
				b.ReportAllocs()
				before := cpuTime(b)
				for b.Loop() {
					call, known := c.Request(r)
					v := c.Response(&call, response)
					if scrub {
						v.Scrub(r, known)
					}
				}
				b.ReportMetric(float64(cpuTime(b)-before)/float64(b.N), "cpu-ns/op")
			})
		}
	}
}
