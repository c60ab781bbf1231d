package classify

import (
	"testing"
	"time"
)

const sigv4 = "AWS4-HMAC-SHA256 Credential=AKLTdemo0123456789/20261123/cn-shanghai-2/monitor/aws4_request, " +
	"SignedHeaders=accept;content-type;host;x-amz-date, Signature=0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

const sigHex = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

var signedAt = time.Date(2026, 11, 23, 15, 2, 57, 0, time.UTC)

func TestRequest(t *testing.T) {
	form := "application/x-www-form-urlencoded; charset=utf-8"
	tests := []struct {
		name    string
		request Request
		want    Call
		secrets [3]string
	}{
		{
			name: "SigV4 in the Authorization field, parameters in the query",
			request: Request{
				Method: "GET", Target: []byte("/?Action=GetMetricStatistics&Version=2010-05-25&Namespace=KEC"), Host: []byte("Monitor.API.ksyun.com:443"),
				Header: fields{"Authorization": sigv4, "X-Amz-Date": "20261123T150257Z"},
			},
			want:    Call{Service: "monitor", Action: "GetMetricStatistics", Version: "2010-05-25", Region: "cn-shanghai-2", Host: "monitor.api.ksyun.com", Signing: SigningSigV4, SignedAt: signedAt},
			secrets: [3]string{"AKLTdemo0123456789", sigHex, ""},
		},
		{
			name: "presigned",
			request: Request{
				Method: "GET", Host: []byte("internal.api.ksyun.com"),
				Target: []byte("/?Action=ListUsers&Version=2015-11-01&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKLTdemo%2F20261123%2Fcn-north-1%2Fiam%2Faws4_request&X-Amz-Date=20261123T150257Z&X-Amz-SignedHeaders=host&X-Amz-Signature=" + sigHex + "&X-Amz-Security-Token=tok%2Ben"),
			},
			want:    Call{Service: "iam", Action: "ListUsers", Version: "2015-11-01", Region: "cn-north-1", Host: "internal.api.ksyun.com", Signing: SigningPresigned, SignedAt: signedAt},
			secrets: [3]string{"AKLTdemo", sigHex, "tok%2Ben"},
		},
		{
			name: "simple signature in the query",
			request: Request{
				Method: "GET", Host: []byte("monitor.cn-shanghai-2.api.ksyun.com"),
				Target: []byte("/?Accesskey=AKLTdemo&Service=monitor&Action=ListMetrics&Version=2010-05-25&Timestamp=2026-11-23T15%3A02%3A57Z&SignatureVersion=1.0&SignatureMethod=HMAC-SHA256&Signature=c2ln%3D&SecurityToken=tok&DryRun=true"),
			},
			want:    Call{Service: "monitor", Action: "ListMetrics", Version: "2010-05-25", Region: "cn-shanghai-2", Host: "monitor.cn-shanghai-2.api.ksyun.com", Signing: SigningSimple, SignedAt: signedAt, DryRun: true},
			secrets: [3]string{"AKLTdemo", "c2ln%3D", "tok"},
		},
		{
			name: "simple signature in a form",
			request: Request{
				Method: "POST", Target: []byte("/"), Host: []byte("monitor.api.ksyun.com"),
				Header: fields{"Content-Type": form},
				Body:   []byte("Accesskey=AK&Service=monitor&Action=CreateAlarmPolicy&Version=2022-01-01&Region=cn-beijing-6&Timestamp=2026-11-23T23:02:57%2B08:00&Signature=c2ln"),
			},
			want:    Call{Service: "monitor", Action: "CreateAlarmPolicy", Version: "2022-01-01", Region: "cn-beijing-6", Host: "monitor.api.ksyun.com", Signing: SigningSimple, SignedAt: signedAt},
			secrets: [3]string{"AK", "c2ln", ""},
		},
		{
			name: "action in the form only, signed in the field (Go SDK v2)",
			request: Request{
				Method: "POST", Target: []byte("/"), Host: []byte("monitor.api.ksyun.com"),
				Header: fields{"Content-Type": form, "Authorization": sigv4, "Content-Length": "53"},
				Body:   []byte("Action=AddAlarmReceives&PolicyId=1&Version=2021-01-01"),
			},
			want:    Call{Service: "monitor", Action: "AddAlarmReceives", Version: "2021-01-01", Region: "cn-shanghai-2", Host: "monitor.api.ksyun.com", Signing: SigningSigV4},
			secrets: [3]string{"AKLTdemo0123456789", sigHex, ""},
		},
		{
			name: "JSON body (Python SDK)",
			request: Request{
				Method: "POST", Target: []byte("/"), Host: []byte("monitor.api.ksyun.com"),
				Header: fields{"Content-Type": "application/json", "Authorization": sigv4},
				Body:   []byte(`{"Metrics":[{"Action":"nested"}],"Action":"GetMetricStatisticsBatch","Version":"2018-11-14","DryRun":true}`),
			},
			want:    Call{Service: "monitor", Action: "GetMetricStatisticsBatch", Version: "2018-11-14", Region: "cn-shanghai-2", Host: "monitor.api.ksyun.com", Signing: SigningSigV4, DryRun: true},
			secrets: [3]string{"AKLTdemo0123456789", sigHex, ""},
		},
		{
			name: "query before fields before body (old Python SDK)",
			request: Request{
				Method: "POST", Target: []byte("/?Action=GetMetricStatisticsBatch&Version=2018-11-14"), Host: []byte("monitor.api.ksyun.com"),
				Header: fields{"X-Action": "GetMetricStatisticsBatchV2", "X-Version": "2018-11-14", "X-Ksc-Security-Token": "field-token"},
				Body:   []byte(`{"Action":"FromTheBody"}`),
			},
			want:    Call{Service: "monitor", Action: "GetMetricStatisticsBatch", Version: "2018-11-14", Host: "monitor.api.ksyun.com", Signing: SigningNone},
			secrets: [3]string{"", "", "field-token"},
		},
		{
			name: "fields alone",
			request: Request{
				Method: "GET", Target: []byte("/"), Host: []byte("monitor.internal.api.ksyun.com"),
				Header: fields{"X-Amz-Target": "Monitor_20100525.ListMetrics", "X-Version": "2010-05-25", "X-Amz-Security-Token": "amz-token", "Date": "Mon, 23 Nov 2026 15:02:57 GMT"},
			},
			want:    Call{Service: "monitor", Action: "ListMetrics", Version: "2010-05-25", Host: "monitor.internal.api.ksyun.com", Signing: SigningNone, SignedAt: signedAt},
			secrets: [3]string{"", "", "amz-token"},
		},
		{
			name: "the Node SDK's date",
			request: Request{
				Method: "GET", Target: []byte("/?Action=ListMetrics&Version=V1"), Host: []byte("kec.cn-beijing-6.internal.api.ksyun.com"),
				Header: fields{"X-Amz-Date": "20261123T150257+00:00"},
			},
			want: Call{Service: "kec", Action: "ListMetrics", Version: "V1", Region: "cn-beijing-6", Host: "kec.cn-beijing-6.internal.api.ksyun.com", Signing: SigningNone, SignedAt: signedAt},
		},
		{
			name: "absolute form, percent-encoded name, names in other case, repeated names",
			request: Request{
				Method: "GET", Target: []byte("http://user@monitor.api.ksyun.com/v4/?%61ction=ListMetrics&Action=listmetrics&VERSION=2023-07-12&Version=1&flag&=x"),
			},
			want: Call{Service: "monitor", Action: "ListMetrics", Version: "2023-07-12", Host: "monitor.api.ksyun.com", Signing: SigningNone},
		},
		{
			name: "hostile names are no labels",
			request: Request{
				Method: "GET", Target: []byte("/?Action=%3Cscript%3E&Version=a%0Ab&Region=x%00&Service=a+b"), Host: []byte("bad host\n"),
			},
			want: Call{Signing: SigningNone},
		},
		{
			name: "a form cut inside its last pair",
			request: Request{
				Method: "POST", Target: []byte("/"), Host: []byte("custom.example.com"),
				Header: fields{"Content-Type": form, "Content-Length": "4000"},
				Body:   []byte("Version=2021-01-01&Action=AddAlarm"),
			},
			want: Call{Version: "2021-01-01", Host: "custom.example.com", Signing: SigningNone},
		},
		{
			name: "JSON cut inside a value",
			request: Request{
				Method: "POST", Target: []byte("/"), Host: []byte("[::1]:8080"),
				Body: []byte(`{"Version":"2021-01-01","Action":"AddAlarm`),
			},
			want: Call{Version: "2021-01-01", Host: "::1", Signing: SigningNone},
		},
		{
			name: "multipart",
			request: Request{
				Method: "POST", Target: []byte("/"), Host: []byte("monitor.api.ksyun.com"),
				Header: fields{"Content-Type": "multipart/form-data; boundary=x"},
				Body: []byte("--x\r\nContent-Disposition: form-data; filename=\"Region\"; name=\"file\"\r\nContent-Type: text/plain\r\n\r\nAction=No\r\n\r\n--x\r\n" +
					"content-disposition: form-data; name=\"Action\"\r\n\r\nListMetrics\r\n--x\r\nContent-Disposition: form-data; name=Version\r\n\r\n2010-05-25\r\n--x--\r\n"),
			},
			want: Call{Service: "monitor", Action: "ListMetrics", Version: "2010-05-25", Host: "monitor.api.ksyun.com", Signing: SigningNone},
		},
		{
			name: "multipart that is cut",
			request: Request{
				Method: "POST", Target: []byte("/"), Host: []byte("monitor.api.ksyun.com"),
				Body: []byte("--x\r\nContent-Disposition: form-data; name=\"Version\"\r\n\r\n2010-05-25\r\n--x\r\nContent-Disposition: form-data; name=\"Action\"\r\n\r\nListMet"),
			},
			want: Call{Service: "monitor", Version: "2010-05-25", Host: "monitor.api.ksyun.com", Signing: SigningNone},
		},
		{
			name: "form called JSON",
			request: Request{
				Method: "POST", Target: []byte("/"), Host: []byte("monitor.api.ksyun.com"),
				Header: fields{"Content-Type": "application/json"},
				Body:   []byte("Action=ListMetrics&Version=2010-05-25"),
			},
			want: Call{Service: "monitor", Action: "ListMetrics", Version: "2010-05-25", Host: "monitor.api.ksyun.com", Signing: SigningNone},
		},
		{
			name: "JSON called a form",
			request: Request{
				Method: "POST", Target: []byte("/"), Host: []byte("monitor.api.ksyun.com"),
				Header: fields{"Content-Type": form},
				Body:   []byte(`{"Action":"ListMetrics","Version":"2010-05-25"}`),
			},
			want: Call{Service: "monitor", Action: "ListMetrics", Version: "2010-05-25", Host: "monitor.api.ksyun.com", Signing: SigningNone},
		},
		{
			name: "a text with an equals sign is no form",
			request: Request{
				Method: "POST", Target: []byte("/"), Host: []byte("monitor.api.ksyun.com"),
				Header: fields{"Content-Type": "text/plain"},
				Body:   []byte("a text: Action=ListMetrics&Action=No"),
			},
			want: Call{Service: "monitor", Host: "monitor.api.ksyun.com", Signing: SigningNone},
		},
		{
			name: "field before form",
			request: Request{
				Method: "POST", Target: []byte("/"), Host: []byte("monitor.api.ksyun.com"),
				Header: fields{"X-Action": "ListMetrics", "X-Version": "2010-05-25"},
				Body:   []byte("Action=Other&Version=1"),
			},
			want: Call{Service: "monitor", Action: "ListMetrics", Version: "2010-05-25", Host: "monitor.api.ksyun.com", Signing: SigningNone},
		},
		{
			name: "letter case of a documented action and of another",
			request: Request{
				Method: "GET", Target: []byte("/?action=getmetricSTATISTICS&version=2010-05-25"), Host: []byte("monitor.api.ksyun.com"),
			},
			want: Call{Service: "monitor", Action: "GetMetricStatistics", Version: "2010-05-25", Host: "monitor.api.ksyun.com", Signing: SigningNone},
		},
		{
			name:    "letter case of an action that is not documented",
			request: Request{Method: "GET", Target: []byte("/?Action=describeThings"), Host: []byte("kec.api.ksyun.com")},
			want:    Call{Service: "kec", Action: "describeThings", Host: "kec.api.ksyun.com", Signing: SigningNone},
		},
		{
			name:    "two actions in the query",
			request: Request{Method: "GET", Target: []byte("/?Action=ListMetrics&%41ction=DeleteAlarmPolicy&Version=2010-05-25"), Host: []byte("monitor.api.ksyun.com")},
			want:    Call{Service: "monitor", Action: SeveralActions, Version: "2010-05-25", Host: "monitor.api.ksyun.com", Signing: SigningNone},
		},
		{
			name: "another action in the form",
			request: Request{
				Method: "POST", Target: []byte("/?Action=ListMetrics&Version=2010-05-25"), Host: []byte("monitor.api.ksyun.com"),
				Header: fields{"Content-Type": form}, Body: []byte("Action=DeleteAlarmPolicy"),
			},
			want: Call{Service: "monitor", Action: SeveralActions, Version: "2010-05-25", Host: "monitor.api.ksyun.com", Signing: SigningNone},
		},
		{
			name: "the same action in the form",
			request: Request{
				Method: "POST", Target: []byte("/?Action=ListMetrics&Version=2010-05-25"), Host: []byte("monitor.api.ksyun.com"),
				Header: fields{"Content-Type": form}, Body: []byte("Action=%4cistMetrics"),
			},
			want: Call{Service: "monitor", Action: "ListMetrics", Version: "2010-05-25", Host: "monitor.api.ksyun.com", Signing: SigningNone},
		},
		{
			name:    "two actions in JSON",
			request: Request{Method: "POST", Target: []byte("/"), Host: []byte("monitor.api.ksyun.com"), Body: []byte(`{"Action":"ListMetrics","Action":"Other"}`)},
			want:    Call{Service: "monitor", Action: SeveralActions, Host: "monitor.api.ksyun.com", Signing: SigningNone},
		},
		{
			name:    "region alone in the host",
			request: Request{Method: "GET", Target: []byte("/?Action=ListMetrics&Version=2010-05-25"), Host: []byte("cn-north-vip1.api.ksyun.com")},
			want:    Call{Service: "monitor", Action: "ListMetrics", Version: "2010-05-25", Region: "cn-north-vip1", Host: "cn-north-vip1.api.ksyun.com", Signing: SigningNone},
		},
		{
			name:    "region alone in an internal host, unknown action",
			request: Request{Method: "GET", Target: []byte("/?Action=Strange"), Host: []byte("ap-singapore-1.internal.api.ksyun.com")},
			want:    Call{Action: "Strange", Region: "ap-singapore-1", Host: "ap-singapore-1.internal.api.ksyun.com", Signing: SigningNone},
		},
		{
			name:    "host that names neither",
			request: Request{Method: "GET", Target: []byte("/?Action=GetMetricStatisticsBatch&Version=2018-11-14"), Host: []byte("internal.api.ksyun.com")},
			want:    Call{Service: "monitor", Action: "GetMetricStatisticsBatch", Version: "2018-11-14", Host: "internal.api.ksyun.com", Signing: SigningNone},
		},
		{
			name:    "host that names neither, action of another service by its version",
			request: Request{Method: "GET", Target: []byte("/?Action=DescribeInstances&Version=2016-03-04"), Host: []byte("internal.api.ksyun.com")},
			want:    Call{Action: "DescribeInstances", Version: "2016-03-04", Host: "internal.api.ksyun.com", Signing: SigningNone},
		},
		{
			name: "address in the target, host in the field",
			request: Request{
				Method: "GET", Target: []byte("http://192.0.2.7/?Action=Strange"), Host: []byte("192.0.2.7:80"),
				Header: fields{"Host": "monitor.cn-beijing-6.api.ksyun.com:80"},
			},
			want: Call{Service: "monitor", Action: "Strange", Region: "cn-beijing-6", Host: "192.0.2.7", Signing: SigningNone},
		},
	}
	c := New(DefaultCatalog())
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			call, s := c.Request(&tt.request)
			call.Fingerprint = 0 // see TestFingerprint
			if call != tt.want {
				t.Errorf("call\n got %+v\nwant %+v", call, tt.want)
			}
			if got := [3]string{string(s.AccessKey), string(s.Signature), string(s.Token)}; got != tt.secrets {
				t.Errorf("secrets\n got %q\nwant %q", got, tt.secrets)
			}
		})
	}
}
