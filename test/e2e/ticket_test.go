//go:build e2e

package e2e

import (
	"bufio"
	"bytes"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ksyun-tap/ksyun-tap/internal/demo/cloudmonitor"
)

// TestTicket acts out a task: a call failed in my program, give me its ID and the text of
// a ticket. There are three ways, as docs/failure-desk.md says, and each takes one command
// or two clicks. The test counts them.
func TestTicket(t *testing.T) {
	t.Parallel()
	api := newFailingIDs()
	served := httptest.NewServer(api)
	defer served.Close()
	upstream := "--upstream.connect-to=" + apiHost + ":80=" + served.Listener.Addr().String()
	program := []string{
		"curl", "-s", "-i", "--aws-sigv4", "aws:amz:cn-beijing-6:monitor", "-u", good.AccessKey + ":" + good.SecretKey, "-H", "Accept: application/json",
		"-H", cloudmonitor.DirectiveField + ": error=LimitExceeded", "http://" + apiHost + "/?Action=ListMetrics&Version=2010-05-25",
	}

	// has checks that a text has what the vendor's support needs.
	has := func(t *testing.T, what, text, id string) {
		t.Helper()
		for _, want := range []string{id, "ListMetrics", "LimitExceeded"} {
			if want == "" || !strings.Contains(text, want) {
				t.Errorf("%s has no %q:\n%s", what, want, text)
			}
		}
	}

	t.Run("exec", func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "report")
		commands := 0
		run := func(args ...string) string {
			commands++
			out, err := exec.Command(binary, args...).CombinedOutput()
			require.NoError(t, err, "%s", out)
			return string(out)
		}
		out := run(append([]string{"exec", "--report=" + dir, upstream, "--"}, program...)...)
		id := api.take()
		has(t, "the summary", out, id)
		for _, name := range []string{"tickets.en.txt", "tickets.zh.txt"} {
			text, err := os.ReadFile(filepath.Join(dir, name))
			require.NoError(t, err)
			has(t, name, string(text), id)
		}
		assert.Equal(t, 1, commands, "it took %d commands", commands)
	})

	tap := startTap(t, nil, upstream)
	t.Run("sidecar and lookup", func(t *testing.T) {
		cmd := exec.Command(program[0], program[1:]...) // prints the response
		cmd.Env = append(os.Environ(), "http_proxy=http://"+tap.proxy)
		printed, err := cmd.Output()
		require.NoError(t, err)
		response, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(printed)), nil)
		require.NoError(t, err)
		response.Body.Close()
		id := response.Header.Get("X-Ksc-Request-Id")
		tap.wait(id)
		commands := 0
		for _, language := range []string{"en", "zh"} {
			commands++
			out, err := exec.Command(binary, "lookup", id, "--url=http://"+tap.admin, "--ticket="+language).CombinedOutput()
			require.NoError(t, err, "%s", out)
			has(t, "the ticket", string(out), id)
		}
		if commands != 2 { // one for each language
			t.Errorf("it took %d commands", commands)
		}
	})

	t.Run("page", func(t *testing.T) {
		cmd := exec.Command(program[0], program[1:]...)
		cmd.Env = append(os.Environ(), "http_proxy=http://"+tap.proxy)
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", out)
		id := api.take()
		tap.wait(id)
		b := openBrowser(t, "http://"+tap.admin)
		b.open("/")
		clicks := 0
		click := func(selector string) {
			b.click(selector)
			clicks++
		}
		copied := func(want string) {
			b.until("the ticket is copied", `navigator.clipboard.readText().then((s) => { window.copied = s; }) && String(window.copied).includes(`+strconv.Quote(want)+`)`)
			has(t, "what was copied", b.text("window.copied"), id)
		}
		// The newest failure: open it, where the ID is shown, and copy its ticket.
		click(".banner .primary")
		b.until("the failure is open", `document.getElementById("ticket-en")`)
		has(t, "the page", b.text(`document.querySelector(".facts").textContent`), id)
		click(`[data-copy="ticket-en"]`)
		copied("ListMetrics")
		assert.Equal(t, 2, clicks, "it took %d clicks", clicks)
		// Or without opening it.
		clicks = 0
		b.open("/")
		click(".banner [data-copy-url]")
		copied("ListMetrics")
		assert.Equal(t, 1, clicks, "it took %d clicks from the banner", clicks)
		b.clean()
	})
}
