package web

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/ksyun-tap/ksyun-tap/classify/signature"
	"github.com/ksyun-tap/ksyun-tap/exporter/record"
)

// curl returns a shell command that sends the request of r again, signed with the
// keys in environment variables. It has no secrets: parameters of the signature are
// left out, as are bodies, which are not kept. It is "" if the URL is not known.
func curl(r *record.Record) string {
	u, err := url.Parse(r.URL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return ""
	}
	u.RawQuery = unsigned(u.RawQuery)
	var b strings.Builder
	b.WriteString("curl --globoff")
	if r.Method != "" && r.Method != http.MethodGet {
		b.WriteString(" -X " + quote(r.Method))
	}
	if r.Service != "" && r.Region != "" {
		b.WriteString(" --aws-sigv4 " + quote("aws:amz:"+r.Region+":"+r.Service))
		b.WriteString(` --user "$KSYUN_ACCESS_KEY_ID:$KSYUN_SECRET_ACCESS_KEY"`)
	}
	b.WriteString(" -H 'Accept: application/json' " + quote(u.String()))
	return b.String()
}

// unsigned returns a query without the parameters of signatures. The others remain
// as they are.
func unsigned(query string) string {
	var kept []string
	for part := range strings.SplitSeq(query, "&") {
		name, value, _ := strings.Cut(part, "=")
		if plain, err := url.QueryUnescape(name); err == nil {
			name = plain
		}
		if !signature.IsParam(name) && !strings.Contains(value, "REDACTED") {
			kept = append(kept, part)
		}
	}
	return strings.Join(kept, "&")
}

// quote quotes s for a POSIX shell.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
