package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/ksyun-tap/ksyun-tap/internal/demo/cloudmonitor"
)

// TestScript runs the scripts in testdata/script: the verbs as a user calls them,
// with their output and exit codes. Besides the commands of testscript, there are
//
//	ksyun-tap ARGS...     the program
//	call [DIRECTIVE]      a program that makes one call of the API, see cloudmonitor.Directive
//	tap [DIRECTIVE...]    starts a tap, makes these failing calls through it, sets
//	                      $TAP to its URL and $ID to the request ID of the last call
//	code N COMMAND...     runs a command that must exit with code N
//
// $API is the address of a simulated API. UPDATE_SCRIPTS=1 rewrites what cmp compares with.
func TestScript(t *testing.T) {
	api := httptest.NewServer(cloudmonitor.New(cloudmonitor.Config{Credentials: []cloudmonitor.Credential{testCredential}}))
	t.Cleanup(api.Close) // the scripts run in parallel, after this function
	testscript.Run(t, testscript.Params{
		Dir:           "testdata/script",
		UpdateScripts: os.Getenv("UPDATE_SCRIPTS") != "",
		Setup: func(e *testscript.Env) error {
			e.Setenv("API", api.Listener.Addr().String())
			e.Setenv("TZ", "UTC")
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"tap": func(ts *testscript.TestScript, _ bool, directives []string) {
				tap := startFailingTap(t)
				ts.Setenv("TAP", tap.url)
				for _, d := range directives {
					ts.Setenv("ID", tap.call(t, cloudmonitor.Directive{Error: d}))
				}
			},
			"code": func(ts *testscript.TestScript, _ bool, args []string) {
				err := ts.Exec(args[1], args[2:]...)
				got := exitOK
				if exit, ok := err.(interface{ ExitCode() int }); ok {
					got = exit.ExitCode()
				} else if err != nil {
					ts.Fatalf("%v", err)
				}
				if strconv.Itoa(got) != args[0] {
					ts.Fatalf("exit code %d, want %s", got, args[0])
				}
			},
		},
	})
}

// scriptCall makes a call of the API with the proxy of the environment. Its argument
// is the error to ask for. It exits with 1 if the call fails.
func scriptCall() {
	req, err := http.NewRequest(http.MethodGet, "http://"+apiHost+"/?"+query, nil)
	if err != nil {
		panic(err)
	}
	cloudmonitor.SignV4(req, nil, testCredential, cloudmonitor.Scope{Region: "cn-beijing-6", Service: "monitor"}, time.Now())
	if len(os.Args) > 1 {
		req.Header.Set(cloudmonitor.DirectiveField, cloudmonitor.Directive{Error: os.Args[1]}.String())
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		fmt.Fprintln(os.Stderr, "call:", err)
		os.Exit(1)
	}
	_, _ = io.Copy(io.Discard, res.Body)
	_ = res.Body.Close()
	fmt.Println("status", res.StatusCode)
	if res.StatusCode != http.StatusOK {
		os.Exit(1)
	}
}
