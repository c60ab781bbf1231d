package redact_test

import (
	"fmt"

	"github.com/ksyun-tap/ksyun-tap/classify/redact"
)

func ExampleTarget() {
	fmt.Println(redact.Target([]byte("/?Action=ListMetrics&Accesskey=AKLT1&Signature=c2ln")))
	// Output: /?Action=ListMetrics&Accesskey=REDACTED&Signature=REDACTED
}
