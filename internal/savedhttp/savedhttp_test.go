package savedhttp

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ksyun-tap/ksyun-tap/internal/testfile"
)

func TestParse(t *testing.T) {
	get := Request{Method: "GET", Target: "/?a=b", Fields: Fields{{"Host", "h"}, {"X", "1 2"}}, Whole: true}
	post := Request{Method: "POST", Target: "/", Fields: Fields{{"Host", "h"}, {"Content-Length", "4"}}, Body: []byte("body"), Whole: true}
	tests := []struct {
		name, data string
		want       *Exchange
	}{
		{"as on the wire", "GET /?a=b HTTP/1.1\r\nHost: h\r\nX:  1 2 \r\n\r\n", &Exchange{Request: get}},
		{"lines ended by LF", "\nGET /?a=b HTTP/1.1\nHost: h\nX: 1 2", &Exchange{Request: get}},
		{"with a body", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbody", &Exchange{Request: post}},
		{"a line end that an editor added", "POST / HTTP/1.1\nHost: h\nContent-Length: 4\n\nbody\n", &Exchange{Request: post}},
		{"a body cut", "POST / HTTP/1.1\nHost: h\nContent-Length: 4\n\nbo", &Exchange{Request: Request{
			Method: "POST", Target: "/", Fields: post.Fields, Body: []byte("bo"),
		}}},
		{"chunked", "POST / HTTP/1.1\nTransfer-Encoding: chunked\n\n4\r\nbody\r\n0\r\n\r\n", &Exchange{Request: Request{
			Method: "POST", Target: "/", Fields: Fields{{"Transfer-Encoding", "chunked"}}, Body: []byte("body"), Whole: true,
		}}},
		{"doubled fields", "GET / HTTP/1.1\nHost: h\nhost: i\n\n", &Exchange{Request: Request{
			Method: "GET", Target: "/", Fields: Fields{{"Host", "h"}, {"host", "i"}}, Whole: true,
		}}},
		{"a line that is no field", "GET / HTTP/1.1\nHost: h\nnonsense\n\n", &Exchange{Request: Request{
			Method: "GET", Target: "/", Fields: Fields{{"Host", "h"}}, Whole: true,
		}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Parse([]byte(tt.data))
			require.NoError(t, err)
			if got.Request.Body == nil {
				got.Request.Body = tt.want.Request.Body
			}
			assert.Equal(t, tt.want, got)
		})
	}
}

// TestCurl reads what curl 7.88 printed.
func TestCurl(t *testing.T) {
	f := func(file, method, target, host string, status int, body string, whole bool) {
		t.Helper()
		data := testfile.Read(t, "testdata", file)
		x, err := Parse(data)
		require.NoError(t, err)
		q := x.Request
		if q.Method != method || q.Target != target || string(q.Fields.Get("host")) != host || q.Whole != whole {
			t.Errorf("%s: request %+v", file, q)
		}
		if x.Response == nil || x.Response.Status != status || string(x.Response.Body) != body || x.Response.Fields.Get("date") == nil {
			t.Errorf("%s: response %+v", file, x.Response)
		}
	}
	const refused = `{"Error":{"Code":"SignatureDoesNotMatch","Message":"The request signature we calculated does not match the signature you provided.","Type":"Sender"},"RequestId":"`
	f("get.txt", "GET", "/?Action=ListMetrics&Version=2010-05-25", "monitor.api.ksyun.com", 403, refused+`00000000-0000-4000-8000-000000000001"}`+"\n", true)
	f("proxied.txt", "POST", "http://monitor.api.ksyun.com/?Action=GetMetricStatisticsBatch&Version=2018-11-14", "monitor.api.ksyun.com", 403, refused+`00000000-0000-4000-8000-000000000002"}`, false)
}

func TestNoRequest(t *testing.T) {
	for _, data := range []string{"", "\n\n", "HTTP/1.1 200 OK\n\n", `{"Error":{}}`, "get / HTTP/1.1\n\n", "GET /\n\n", "> CONNECT h:443 HTTP/1.1\n>\n", "* Trying\n"} {
		_, err := Parse([]byte(data))
		assert.ErrorIs(t, err, ErrNoRequest, data)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("GET / HTTP/1.1\r\nHost: h\r\n\r\n"))
	f.Add([]byte("> POST / HTTP/1.1\n> Content-Length: 3\n>\n< HTTP/1.1 403 Forbidden\n<\n{}\n"))
	f.Add([]byte("POST / HTTP/1.1\nTransfer-Encoding: chunked\n\n4\r\nbody\r\n0\r\n\r\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		x, err := Parse(data)
		if err != nil {
			return
		}
		if x.Request.Method == "" || x.Request.Target == "" {
			t.Errorf("request without a method or a target: %+v", x.Request)
		}
		assert.LessOrEqual(t, len(x.Request.Body), len(data), "a body larger than the data")
		for name := range x.Request.Fields.Fields() {
			assert.NotNil(t, x.Request.Fields.Get(string(name)), "field %q is not found", name)
		}
	})
}
