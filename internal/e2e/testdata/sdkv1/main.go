// Command sdkv1 is a program built on the Go SDK v1 that the vendor's SDK and
// exporter are built on. It is set up by nothing but the SDK's own variables.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/awserr"
	"github.com/aws/aws-sdk-go/aws/client"
	"github.com/aws/aws-sdk-go/aws/client/metadata"
	"github.com/aws/aws-sdk-go/aws/credentials"
	"github.com/aws/aws-sdk-go/aws/request"
	"github.com/aws/aws-sdk-go/aws/session"
	v4 "github.com/aws/aws-sdk-go/aws/signer/v4"
	"github.com/aws/aws-sdk-go/private/protocol/query"
)

type input struct {
	Namespace *string
}

type output struct {
	_ struct{} `type:"structure"`
}

func main() {
	sess := session.Must(session.NewSession(&aws.Config{
		Credentials: credentials.NewStaticCredentials(os.Args[2], os.Args[3], ""),
		Region:      aws.String("cn-beijing-6"),
		Endpoint:    aws.String(os.Args[1]),
		MaxRetries:  aws.Int(0),
	}))
	cfg := sess.ClientConfig("monitor")
	svc := client.New(*cfg.Config, metadata.ClientInfo{
		ServiceName: "monitor", ServiceID: "monitor", SigningName: "monitor", SigningRegion: "cn-beijing-6",
		Endpoint: cfg.Endpoint, APIVersion: "2010-05-25",
	}, cfg.Handlers)
	svc.Handlers.Sign.PushBackNamed(v4.SignRequestHandler)
	svc.Handlers.Build.PushBackNamed(query.BuildHandler)
	svc.Handlers.UnmarshalError.PushBackNamed(query.UnmarshalErrorHandler)
	svc.Handlers.UnmarshalMeta.PushBackNamed(query.UnmarshalMetaHandler)

	for _, directive := range []string{"", "error=LimitExceeded"} {
		req := svc.NewRequest(&request.Operation{Name: "ListMetrics", HTTPMethod: "POST", HTTPPath: "/"}, &input{}, &output{})
		if directive != "" {
			req.HTTPRequest.Header.Set("X-Simulate", directive)
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
