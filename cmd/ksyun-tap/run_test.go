package main

import (
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestNextSteps checks what is printed on a terminal.
func TestNextSteps(t *testing.T) {
	f := func(want string, flags ...string) {
		t.Helper()
		c, _, err := parseCommandLine(append([]string{"run", "--proxy.listen-address=127.0.0.1:0", "--web.listen-address=127.0.0.1:0"}, flags...), io.Discard)
		require.NoError(t, err)
		tap, err := newTap(t.Context(), &c.settings, nil, outputs{log: io.Discard}, service{})
		require.NoError(t, err)
		defer tap.abandon()
		got := tap.nextSteps()
		proxy, web := tap.address(wayProxy), tap.address(wayWeb)
		if strings.Count(got, "\n") != 3 || !strings.Contains(got, "HTTP_PROXY=http://"+proxy) || !strings.Contains(got, "http://"+web+"/\n") || !strings.Contains(got, want) {
			t.Errorf("%v: %s", flags, got)
		}
	}
	f("--intercept")
	f(" HTTPS_PROXY=http://127.0.0.1:", "--intercept", "--intercept.ca-dir="+t.TempDir()+"/ca")
}
