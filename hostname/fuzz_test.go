package hostname

import (
	"strings"
	"testing"
)

func FuzzAuthority(f *testing.F) {
	for _, s := range []string{"h", "h:80", "[::1]:80", "[::1]", ":80", "h:", "h:0", "h:65536", "a@b", "[", "]", "[]", "h:8:0", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		host, port, ok := SplitAuthority([]byte(s))
		if !ok {
			return
		}
		if strings.ContainsAny(string(host), "@/\\?#% \t\r\n,<>\"'&") {
			t.Fatalf("%q: host %q", s, host)
		}
		if (port != 0) != (strings.TrimRight(s, "0123456789") != s && strings.LastIndexByte(s, ':') > strings.LastIndexByte(s, ']') && !strings.HasSuffix(s, ":")) {
			t.Fatalf("%q: port %d", s, port)
		}
	})
}
