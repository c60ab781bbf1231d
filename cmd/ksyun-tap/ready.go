package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/alecthomas/kingpin/v2"

	"github.com/ksyun-tap/ksyun-tap/internal/config"
	"github.com/ksyun-tap/ksyun-tap/internal/lookup"
	"github.com/ksyun-tap/ksyun-tap/internal/tapclient"
)

// readyVerb asks a running tap whether it is ready, for images without curl.
type readyVerb struct {
	url     string
	timeout time.Duration
}

func newReady(app *kingpin.Application) *readyVerb {
	v := &readyVerb{}
	c := app.Command("ready", "Exit with 0 if the running tap is ready, otherwise with 1.")
	urlFlag(c, &v.url)
	c.Flag("timeout", "Timeout for the tap's response.").Default("2s").SetValue(config.Positive(&v.timeout))
	return v
}

func (v *readyVerb) run(ctx context.Context, std stdio) error {
	ctx, cancel := context.WithTimeout(ctx, v.timeout)
	defer cancel()
	status, text, err := tapclient.Get(ctx, tapclient.URL(v.url), "/-/ready")
	if err != nil {
		return fmt.Errorf("not ready: %w", err)
	}
	if status != http.StatusOK {
		return errors.New("not ready: " + strings.TrimSpace(string(text)))
	}
	_, err = fmt.Fprintln(std.out, "ready")
	return err
}

// urlHelp is the help of the flag for the URL of the running tap.
const urlHelp = "URL of the tap's web listener. Default: from KSYUN_TAP_WEB_ADMIN_LISTEN_ADDRESS or KSYUN_TAP_WEB_LISTEN_ADDRESS, otherwise http://" + config.DefaultWebListen + "."

// urlFlag adds the flag for the URL of the running tap.
func urlFlag(c *kingpin.CmdClause, url *string) {
	c.Flag("url", urlHelp).PlaceHolder("URL").SetValue(config.Parsed(url, parseTapURL))
}

// parseTapURL parses the URL of a running tap, or its address.
func parseTapURL(text string) (string, error) {
	u := tapclient.URL(text)
	_, err := lookup.ParseURL(u)
	return u, err
}
