package transport_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/collector/transport"
)

// printer is a sink that prints what became of each call.
type printer struct{}

func (printer) Begin(call *classify.Call) { fmt.Println("begin", call.Service, call.Action) }

func (printer) Observe(o *classify.Observation) {
	fmt.Println(o.Verdict.Outcome, o.Verdict.Status, o.Verdict.Code, o.Verdict.Category, o.Verdict.RequestID)
}

// Wrap the transport of a program's HTTP client to observe its calls.
func ExampleNew() {
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusConflict)
		_, _ = io.WriteString(w, `{"RequestId":"6f3b1c52-0d7e-4b1a-9a3c-2f0e5d7c8b9a","Error":{"Code":"LimitExceeded","Message":"too fast"}}`)
	}))
	defer api.Close()

	client := &http.Client{Transport: transport.New(nil, transport.Config{Sink: printer{}})}
	defer client.CloseIdleConnections()
	request, err := http.NewRequest(http.MethodGet, api.URL+"/?Action=GetMetricStatistics&Version=2010-05-25", http.NoBody)
	if err != nil {
		fmt.Println(err)
		return
	}
	request.Host = "monitor.api.ksyun.com" // the URL is that of the example's server

	response, err := client.Do(request)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body) // the call ends here
	fmt.Println("the program reads", strings.Count(string(body), "Code"), "code", err)
	// Output:
	// begin monitor GetMetricStatistics
	// error 409 LimitExceeded throttled 6f3b1c52-0d7e-4b1a-9a3c-2f0e5d7c8b9a
	// the program reads 1 code <nil>
}
