package classify_test

import (
	"fmt"

	"github.com/ksyun-tap/ksyun-tap/classify"
)

func ExampleClassifier_Response() {
	c := classify.New(classify.DefaultCatalog())
	v := c.Response(nil, &classify.Response{
		Status: 409,
		Body:   []byte(`{"RequestId":"a1","Error":{"Type":"Sender","Code":"LimitExceeded","Message":"too fast"}}`),
	})
	fmt.Println(v.Outcome, v.CanonicalCode(), v.Category, v.Blame, v.Retryable, v.RequestID)
	// Output: error LimitExceeded throttled quota true a1
}
