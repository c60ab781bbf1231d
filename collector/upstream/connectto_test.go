package upstream

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestConnectTo(t *testing.T) {
	for in, want := range map[string]string{
		"monitor.api.ksyun.com:80=127.0.0.1:8080": "monitor.api.ksyun.com:80=127.0.0.1:8080",
		"HOST.:443=Backend.example:8443":          "host:443=backend.example:8443",
		"[2001:DB8::1]:80=[::1]:8080":             "[2001:db8::1]:80=[::1]:8080",
	} {
		c, err := ParseConnectTo(in)
		if err != nil || c.String() != want {
			t.Errorf("%s: %s, %v", in, c, err)
		}
	}
	for _, bad := range []string{"", "=", "a:1", "a=b", "a:1=b", "a=b:1", ":1=b:1", "a:1=:1", "a:0=b:1", "a:1=b:65536", "a:1=b:x", "::1:80=b:1", "a:1=b:1=c:1", "a@b:1=c:1"} {
		c, err := ParseConnectTo(bad)
		assert.Error(t, err, "%q was taken as %s", bad, c)
	}
}
