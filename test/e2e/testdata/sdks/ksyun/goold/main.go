// Command goold makes one call with the vendor's older Go SDK.
package main

import (
	"fmt"
	"os"

	"github.com/KscSDK/ksc-sdk-go/ksc"
	"github.com/KscSDK/ksc-sdk-go/service/monitor"
	"github.com/aws/aws-sdk-go/aws"
)

func main() {
	svc := monitor.SdkNew(ksc.NewClient("made-up", "made-up"), &ksc.Config{Region: aws.String("cn-beijing-6")})
	svc.Endpoint = "http://" + os.Args[1]
	fmt.Println(svc.ListMetrics(&map[string]interface{}{"Namespace": "kec"}))
}
