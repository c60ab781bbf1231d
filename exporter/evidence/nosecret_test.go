//go:build !race

package evidence

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ksyun-tap/ksyun-tap/classify/canary"
	"github.com/ksyun-tap/ksyun-tap/exporter/har"
	"github.com/ksyun-tap/ksyun-tap/exporter/record"
)

// TestNoSecret checks that no archive contains any part of a secret, wherever
// the request has it, and wherever and however the response quotes it. It is built
// without the race detector, with which it takes six times as long.
func TestNoSecret(t *testing.T) {
	checked := 0
	for _, secret := range canary.Secrets {
		for place, request := range canary.Requests(secret) {
			for encoding, text := range canary.Encodings(secret) {
				for kind, body := range map[string]string{
					"application/json":                  `{"RequestId":"` + text + `","Error":{"Code":"E.` + text + `","Message":"refused: ` + text + `","` + text + `":"` + text + `","Other":["` + text + `"]}}`,
					"text/xml":                          `<E a="` + text + `"><Code>` + text + `</Code><Message><![CDATA[` + text + `]]></Message><!-- ` + text + ` --><X>` + text + `</X></E>`,
					"text/html":                         `<html><title>` + text + `</title><p>` + text,
					"application/x-www-form-urlencoded": "Message=" + text + "&" + text + "=" + text + "&Other=" + text,
					"text/plain":                        "refused: " + text,
				} {
					o := exchange(request, map[string][]string{
						"Content-Type": {kind + "; x=" + text}, "Server": {text}, "X-Ksc-Request-Id": {text}, "Set-Cookie": {text}, text: {text},
					}, body)
					s := New(Config{Fields: []string{"Other", "X", "Password", "tokens", "password", "token"}, Headers: []string{"Authorization", "Referer", "tracestate", "X-Api-Key"}})
					keep(t, s, "id", o)
					archive, err := har.Encode([]*record.Record{{ID: "id"}}, s.Find, "")
					require.NoError(t, err)
					checked++
					part := canary.In(string(archive))
					require.Empty(t, part, "%q of the secret in %s, quoted in %s (%s):\n%s", part, place, kind, encoding, archive)
				}
			}
		}
	}
	t.Logf("%d exchanges checked", checked)
}
