// Command gonew makes one call with the vendor's newer Go SDK.
package main

import (
	"fmt"
	"os"

	monitor "github.com/kingsoftcloud/sdk-go/v2/ksyun/client/monitor/v20100525"
	"github.com/kingsoftcloud/sdk-go/v2/ksyun/common"
	"github.com/kingsoftcloud/sdk-go/v2/ksyun/common/profile"
)

func main() {
	settings := profile.NewClientProfile()
	settings.HttpProfile.Endpoint = os.Args[1]
	settings.HttpProfile.ReqMethod = "GET"
	client, err := monitor.NewClient(common.NewCredential("made-up", "made-up"), "cn-beijing-6", settings)
	if err != nil {
		panic(err)
	}
	fmt.Println(client.ListMetricsSend(monitor.NewListMetricsRequest()))
}
