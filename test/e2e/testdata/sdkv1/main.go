// Command sdkv1 is a program built on the Go SDK v1, set up as the vendor's SDK
// and exporter set it up: parameters in the query, for POST in the form, too;
// JSON asked for; the SDK's own retries. Proxy, trust and telemetry are left to
// the SDK's own variables.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/awserr"
	"github.com/aws/aws-sdk-go/aws/client"
	"github.com/aws/aws-sdk-go/aws/client/metadata"
	"github.com/aws/aws-sdk-go/aws/credentials"
	"github.com/aws/aws-sdk-go/aws/request"
	"github.com/aws/aws-sdk-go/aws/session"
	v4 "github.com/aws/aws-sdk-go/aws/signer/v4"
	"github.com/aws/aws-sdk-go/private/protocol/query/queryutil"
)

type input struct {
	Namespace *string
}

// build writes the parameters where the vendor's SDK does.
func build(r *request.Request) {
	params := url.Values{"Action": {r.Operation.Name}, "Version": {r.ClientInfo.APIVersion}}
	if err := queryutil.Parse(params, r.Params, false); err != nil {
		r.Error = awserr.New(request.ErrCodeSerialization, "failed encoding the request", err)
		return
	}
	r.HTTPRequest.URL.RawQuery = params.Encode()
	r.HTTPRequest.Header.Set("Accept", "application/json")
	if r.Operation.HTTPMethod == http.MethodPost {
		r.HTTPRequest.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
		r.SetBufferBody([]byte(params.Encode()))
	}
}

func unmarshal(r *request.Request) { _ = json.NewDecoder(r.HTTPResponse.Body).Decode(r.Data) }

func unmarshalError(r *request.Request) {
	var body struct {
		RequestID string `json:"RequestId"`
		Error     struct{ Code, Message string }
	}
	if err := json.NewDecoder(r.HTTPResponse.Body).Decode(&body); err != nil {
		r.Error = awserr.NewRequestFailure(awserr.New("UnknownError", "unknown error", err), r.HTTPResponse.StatusCode, "")
		return
	}
	r.Error = awserr.NewRequestFailure(awserr.New(body.Error.Code, body.Error.Message, nil), r.HTTPResponse.StatusCode, body.RequestID)
}

// pause makes calls on one connection, with pauses of about a duration between them and
// without the SDK's retries, and prints how many of GET and of POST failed.
func pause(svc *client.Client, duration string) {
	about, err := time.ParseDuration(duration)
	if err != nil {
		panic(err)
	}
	svc.Config.MaxRetries = aws.Int(0)
	svc.Retryer = client.DefaultRetryer{}
	const calls = 40
	failed := map[string]int{}
	for i := range calls {
		op := &request.Operation{Name: "ListMetrics", HTTPMethod: []string{http.MethodGet, http.MethodPost}[i%2], HTTPPath: "/"}
		if err := svc.NewRequest(op, &input{}, &map[string]any{}).Send(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			failed[op.HTTPMethod]++
		}
		time.Sleep(about + time.Duration(i-calls/2)*100*time.Microsecond)
	}
	fmt.Println("failed:", failed[http.MethodGet], failed[http.MethodPost])
}

func main() {
	secure := strings.HasPrefix(os.Args[1], "https:")
	sess := session.Must(session.NewSession(&aws.Config{
		Credentials: credentials.NewStaticCredentials(os.Args[2], os.Args[3], ""),
		Region:      aws.String("cn-beijing-6"),
		Endpoint:    aws.String(os.Args[1]),
		DisableSSL:  aws.Bool(!secure),
	}))
	cfg := sess.ClientConfig("monitor")
	svc := client.New(*cfg.Config, metadata.ClientInfo{
		ServiceName: "monitor", ServiceID: "monitor", SigningName: "monitor", SigningRegion: "cn-beijing-6",
		Endpoint: cfg.Endpoint, APIVersion: "2010-05-25",
	}, cfg.Handlers)
	svc.Handlers.Sign.PushBackNamed(v4.SignRequestHandler)
	svc.Handlers.Build.PushBack(build)
	svc.Handlers.Unmarshal.PushBack(unmarshal)
	svc.Handlers.UnmarshalError.PushBack(unmarshalError)

	if len(os.Args) > 5 { // many calls, with pauses between them
		pause(svc, os.Args[5])
		return
	}
	if len(os.Args) > 4 { // one call, and how often it was sent
		req := svc.NewRequest(&request.Operation{Name: "ListMetrics", HTTPMethod: http.MethodGet, HTTPPath: "/"}, &input{}, &map[string]any{})
		result := "200"
		if err := req.Send(); err != nil {
			result = "none"
			if failure, ok := err.(awserr.RequestFailure); ok {
				result = fmt.Sprint(failure.StatusCode())
			}
		}
		fmt.Println(result, req.RetryCount+1)
		return
	}
	for _, call := range []struct{ method, directive string }{{http.MethodPost, ""}, {http.MethodGet, "error=LimitExceeded"}} {
		op := &request.Operation{Name: "ListMetrics", HTTPMethod: call.method, HTTPPath: "/"}
		req := svc.NewRequest(op, &input{Namespace: aws.String("KEC")}, &map[string]any{})
		if call.directive != "" {
			req.HTTPRequest.Header.Set("X-Simulate", call.directive)
		}
		err := req.Send()
		var failure awserr.RequestFailure
		switch {
		case err == nil:
			fmt.Println(200)
		case errors.As(err, &failure):
			fmt.Println(failure.StatusCode())
		default:
			fmt.Println(err)
		}
	}
	// The SDK sends its records in the background, and drops what is not sent
	// when the program ends: this one lives until its input does.
	_, _ = io.Copy(io.Discard, os.Stdin)
}
