package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/stretchr/testify/require"

	"github.com/ksyun-tap/ksyun-tap/internal/demo/cloudmonitor"
)

const (
	apiHost = "monitor.api.ksyun.com"
	query   = "Action=ListMetrics&Version=2010-05-25&Namespace=KEC&odd=a+b%20c&empty="
)

var testCredential = cloudmonitor.Credential{AccessKey: "AKLTtest", SecretKey: "sk-test"}

// signedRequest is one way in which a client of the API signs.
type signedRequest struct {
	name   string
	method string
	target string
	fields map[string]string
	body   string
	// sign is nil for the AWS SDK's signer on all of the request's fields.
	sign func(t *testing.T, r *http.Request, body []byte)
}

func awsCredentials() aws.Credentials {
	return aws.Credentials{AccessKeyID: testCredential.AccessKey, SecretAccessKey: testCredential.SecretKey}
}

func hash(body []byte) string {
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:])
}

func signAWS(t *testing.T, r *http.Request, body []byte) {
	t.Helper()
	err := v4.NewSigner().SignHTTP(t.Context(), awsCredentials(), r, hash(body), "monitor", "cn-beijing-6", time.Now())
	require.NoError(t, err)
}

func presignAWS(t *testing.T, r *http.Request, body []byte) {
	t.Helper()
	signed, fields, err := v4.NewSigner().PresignHTTP(t.Context(), awsCredentials(), r, hash(body), "monitor", "cn-beijing-6", time.Now())
	require.NoError(t, err)
	if r.URL, err = url.Parse(signed); err != nil {
		t.Fatal(err)
	}
	for k, v := range fields {
		if k != "Host" {
			r.Header[k] = v
		}
	}
}

// signOwn signs exactly the fields named, with the simulator's own signer.
func signOwn(names ...string) func(*testing.T, *http.Request, []byte) {
	return func(_ *testing.T, r *http.Request, body []byte) {
		cloudmonitor.SignV4(r, body, testCredential, cloudmonitor.Scope{Region: "cn-beijing-6", Service: "monitor"}, time.Now(), names...)
	}
}

func signedRequests() []signedRequest {
	const form, doc = "application/x-www-form-urlencoded", "application/json"
	formBody := "Action=AddAlarmReceives&Version=2021-01-01&ContactFlag=2&Name=%E9%87%91%E5%B1%B1"
	docBody := `{"Action":"PutMetricData","Version":"2017-07-01","Namespace":"custom"}`
	all := []signedRequest{
		{name: "GET", target: "/?" + query, fields: map[string]string{"Accept": doc}},
		{name: "GET, path of a version", target: "/v4/?" + strings.ReplaceAll(query, "2010-05-25", "2023-07-12")},
		{name: "GET, query in odd order and encoding", target: "/?Version=2010-05-25&b=%7e&B=%2F&Action=ListMetrics&a=%E9%87%91&a=1"},
		{name: "GET, no Accept, XML response", target: "/?" + query, fields: map[string]string{"Accept": "*/*"}},
		{name: "POST JSON", method: "POST", target: "/?Action=PutMetricData&Version=2017-07-01", fields: map[string]string{"Content-Type": doc, "Accept": doc}, body: docBody},
		{name: "POST JSON, action in the body", method: "POST", target: "/", fields: map[string]string{"Content-Type": doc}, body: docBody},
		{name: "POST form, action in the body", method: "POST", target: "/", fields: map[string]string{"Content-Type": form, "Accept": doc}, body: formBody},
		{name: "POST large", method: "POST", target: "/?Action=PutMetricData&Version=2017-07-01", fields: map[string]string{"Content-Type": doc}, body: `{"pad":"` + strings.Repeat("x", 300_000) + `"}`},
		{name: "GET with a body", target: "/?" + query, fields: map[string]string{"Content-Type": doc}, body: "{}"},
		{name: "PUT", method: "PUT", target: "/?Action=PutDefaultEventPolicy&Version=2025-01-01", fields: map[string]string{"Accept": doc}, body: "{}"},
		{name: "presigned", target: "/?" + query, fields: map[string]string{"Accept": doc}, sign: presignAWS},
		{name: "presigned POST", method: "POST", target: "/?Action=PutMetricData&Version=2017-07-01", fields: map[string]string{"Accept": doc}, body: docBody, sign: presignAWS},
		{name: "X-KSC fields signed", target: "/?" + query, fields: map[string]string{"X-Ksc-Request-Id": "11111111-2222-4333-8444-555555555555", "X-Ksc-Region": "cn-beijing-6", "X-KSC-Source": " a  b "}},
		{name: "actions in fields", target: "/", fields: map[string]string{"X-Action": "ListMetrics", "X-Version": "2010-05-25", "X-Amz-Target": "monitor.ListMetricsV2"}},
		{name: "hop-by-hop field signed", target: "/?" + query, fields: map[string]string{"Te": "trailers", "Accept": doc}},
	}
	// Every combination of the fields that the SDKs are known to sign besides
	// host and x-amz-date; host twice is what one of them does.
	extra := []string{"accept", "content-type", "content-length", "host", "x-action"}
	for mask := range 1 << len(extra) {
		var names []string
		for i, name := range extra {
			if mask>>i&1 == 1 {
				names = append(names, name)
			}
		}
		fields := map[string]string{"Accept": doc, "Content-Type": doc, "X-Action": "PutMetricData"}
		all = append(all, signedRequest{
			name: "POST signed " + strings.Join(append([]string{"host", "x-amz-date"}, names...), ";"), method: "POST",
			target: "/?Action=PutMetricData&Version=2017-07-01", fields: fields, body: docBody, sign: signOwn(names...),
		})
	}
	return all
}

// TestSignaturesSurvive sends requests with all known kinds of signatures through both
// ways in to a gateway that verifies them strictly, and once directly, to show whether a
// failure is the tap's.
func TestSignaturesSurvive(t *testing.T) {
	gateway := httptest.NewServer(cloudmonitor.New(cloudmonitor.Config{Credentials: []cloudmonitor.Credential{testCredential}}))
	defer gateway.Close()
	proxy, _ := startTap(t, gateway.Listener.Addr().String())

	dialer := func(address string) func(context.Context, string, string) (net.Conn, error) {
		return func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, address)
		}
	}
	proxyURL := &url.URL{Scheme: "http", Host: proxy}
	ways := map[string]*http.Transport{
		"around the tap": {DialContext: dialer(gateway.Listener.Addr().String()), DisableCompression: true},
		"reverse":        {DialContext: dialer(proxy), DisableCompression: true},
		"forward":        {Proxy: http.ProxyURL(proxyURL), DisableCompression: true},
	}
	for way, transport := range ways {
		defer transport.CloseIdleConnections()
		for _, c := range signedRequests() {
			status, text := roundTrip(t, transport, c)
			if status != http.StatusOK {
				t.Errorf("%s: %s: status %d: %s", way, c.name, status, text)
			}
		}
	}
}

func roundTrip(t *testing.T, transport *http.Transport, c signedRequest) (int, string) {
	t.Helper()
	method := cmp.Or(c.method, http.MethodGet)
	r, err := http.NewRequestWithContext(t.Context(), method, "http://"+apiHost+c.target, bytes.NewReader([]byte(c.body)))
	require.NoError(t, err)
	for k, v := range c.fields {
		r.Header[k] = []string{v}
	}
	if c.body != "" {
		r.ContentLength = int64(len(c.body))
	}
	if c.sign == nil {
		signAWS(t, r, []byte(c.body))
	} else {
		c.sign(t, r, []byte(c.body))
	}
	res, err := transport.RoundTrip(r)
	if err != nil {
		t.Fatalf("%s: %v", c.name, err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatalf("%s: %v", c.name, err)
	}
	return res.StatusCode, string(text)
}
