// Package canary provides requests and responses that contain known secrets, for
// tests that no output contains them: in every place of a request, and in every
// encoding in which a response may quote them.
package canary

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html"
	"maps"
	"net/url"
	"strings"
)

// Secrets look like no secrets, so that they can only be known from the request.
var Secrets = []string{"canary/word=horse", "canary~word=horse"}

// In returns a part of one of Secrets that is in text, however it is written,
// in lower case; "" if none is.
func In(text string) string {
	text = strings.ToLower(text)
	for _, part := range []string{"canary", "horse", `\u0063\u0061\u006e`} {
		if strings.Contains(text, part) {
			return part
		}
	}
	return ""
}

// Request is a request with a secret.
type Request struct {
	Target string      // origin form, but for one in absolute form
	Fields [][2]string // name and value
	Body   string
}

// Requests returns requests that have the secret, each in another place, by the
// names of the places.
func Requests(secret string) map[string]Request {
	escaped := url.QueryEscape(secret)
	field := func(name, value string) Request {
		return Request{Target: "/?Action=ListMetrics", Fields: [][2]string{{name, value}}}
	}
	target := func(t string) Request { return Request{Target: t} }
	body := func(kind, text string) Request {
		return Request{Target: "/", Fields: [][2]string{{"Content-Type", kind}}, Body: text}
	}
	basic := func(pair string) string { return "Basic " + base64.StdEncoding.EncodeToString([]byte(pair)) }
	const form, plain = "application/x-www-form-urlencoded", "text/plain"
	all := map[string]Request{
		"SigV4 signature":      field("Authorization", "AWS4-HMAC-SHA256 Credential=AK/1/r/s/aws4_request, SignedHeaders=host, Signature="+secret),
		"second Authorization": {Target: "/", Fields: [][2]string{{"Authorization", "AWS4-HMAC-SHA256 Credential=AK/1/r/s/aws4_request, Signature=ab"}, {"Authorization", "Bearer " + secret}}},
		"KSS key":              field("Authorization", "KSS "+secret+":c2lnbmF0dXJl="),
		"KSS signature":        field("Authorization", "KSS AKLTsomething:"+secret),
		"Bearer":               field("Authorization", "Bearer "+secret),
		"Bearer behind a tab":  field("Authorization", "Bearer\t"+secret),
		"no scheme":            field("Authorization", secret),
		"Basic":                field("Authorization", "Basic "+secret),
		"Basic user":           field("Authorization", basic(secret+":word")),
		"Basic password":       field("Authorization", basic("user:"+secret)),
		"Digest":               field("Authorization", `Digest username="u", realm="r", response="`+secret+`"`),
		"Proxy-Authorization":  field("Proxy-Authorization", basic("user:"+secret)),
		"cookie":               field("Cookie", "theme=dark; id="+secret),
		"Ksc token":            field("X-Ksc-Security-Token", secret),
		"Amz token":            field("x-amz-security-token", secret),
		"API key field":        field("X-Api-Key", secret),
		"User-Agent":           field("User-Agent", "tool/1 (password="+secret+")"),
		"tracestate":           field("tracestate", "vendor=token:"+secret),
		"Referer":              field("Referer", "https://user:"+escaped+"@host/"),

		"presigned signature": target("/?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Signature=" + escaped),
		"presigned token":     target("/?X-Amz-Security-Token=" + escaped),
		"second parameter":    target("/?Accesskey=first&Accesskey=" + escaped),
		"password%3D":         target("/?Action=A&x=password%3D" + url.QueryEscape(escaped)),
		"password%253D":       target("/?x=password%253D" + escaped),
		"semicolon":           target("/?a=b;token=" + escaped),
		"path parameter":      target("/a;token=" + escaped + "?x=1"),
		"fragment":            target("/cb#access_token=" + escaped),
		"fragment in a value": target("/?u=" + url.QueryEscape("https://h/cb#access_token="+escaped)),
		"user in a value":     target("/?u=" + url.QueryEscape("https://user:"+escaped+"@h/")),
		"JSON in a value":     target("/?filter=" + url.QueryEscape(`{"a":[{"password":"`+secret+`"}]}`)),
		"absolute form":       target("http://user:" + escaped + "@monitor.api.ksyun.com/?Action=A"),

		"form":         body(form, "Action=A&Password="+escaped),
		"JSON":         body("application/json", `{"Action":"A","Login":{"Password":"`+secret+`"}}`),
		"JSON escapes": body("application/json", `{"Password":"`+strings.ReplaceAll(secret, "/", `\/`)+`"}`),
		"JSON in JSON": body("application/json", `{"x":"{\"password\":\"`+secret+`\"}"}`),
		"JSON list":    body("application/json", `{"tokens":["first","`+secret+`"]}`),
		"XML":          body("application/xml", "<R><Password>"+secret+"</Password></R>"),
		"multipart":    body("multipart/form-data; boundary=b", "--b\r\nContent-Disposition: form-data; name=\"Password\"\r\n\r\n"+secret+"\r\n--b--\r\n"),
		"text":         body(plain, "the password: "+secret),
	}
	if !strings.Contains(secret, "/") { // as in an access key
		maps.Copy(all, map[string]Request{
			"SigV4 credential":     field("Authorization", "AWS4-HMAC-SHA256 Credential="+secret+"/20261123/cn-beijing-6/monitor/aws4_request, SignedHeaders=host, Signature=ab"),
			"quoted credential":    field("Authorization", `AWS4-HMAC-SHA256 Credential="`+secret+`/20261123/cn-beijing-6/monitor/aws4_request", Signature="ab"`),
			"padded credential":    field("Authorization", "AWS4-HMAC-SHA256  Credential = "+secret+"/20261123/cn-beijing-6/monitor/aws4_request , Signature = ab"),
			"second Credential":    field("Authorization", "AWS4-HMAC-SHA256 Credential=AK/1/r/s/aws4_request, Credential="+secret+"/1/r/s/aws4_request, Signature=ab"),
			"presigned credential": target("/?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=" + escaped + "%2F20261123%2Fr%2Fmonitor%2Faws4_request&X-Amz-Signature=ab"),
		})
	}
	for _, name := range []string{
		"access_key", "AccessKeyId", "api_key", "api-key", "ApiKey", "private_key", "passphrase", "sessionid", "JSESSIONID", "auth",
		"password", "PASSWORD", "user[password]", "client_secret", "refresh-token", "pass%77ord", "%2570assword", "X.Auth", "sk", "sig",
	} {
		all["parameter "+name] = target("/?Action=A&" + name + "=" + escaped)
		all["form parameter "+name] = body(form, name+"="+escaped)
	}
	return all
}

// Encodings returns the ways in which a response may write the secret that it
// quotes, by their names.
func Encodings(secret string) map[string]string {
	quoted, _ := json.Marshal(secret)
	var unicode strings.Builder
	for _, c := range []byte(secret) {
		fmt.Fprintf(&unicode, `\u%04x`, c)
	}
	return map[string]string{
		"as it is":       secret,
		"lower case":     strings.ToLower(secret),
		"upper case":     strings.ToUpper(secret),
		"URL":            url.QueryEscape(secret),
		"URL, lower":     strings.ToLower(url.QueryEscape(secret)),
		"URL, twice":     url.QueryEscape(url.QueryEscape(secret)),
		"JSON":           strings.ReplaceAll(strings.Trim(string(quoted), `"`), "/", `\/`),
		"JSON, unicode":  unicode.String(),
		"XML":            strings.ReplaceAll(html.EscapeString(secret), "/", "&#x2F;"),
		"end cut off":    secret[:len(secret)-2],
		"within a word":  "Key" + secret + "x",
		"behind percent": "%" + secret,
	}
}
