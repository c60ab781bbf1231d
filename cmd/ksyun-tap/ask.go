package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/alecthomas/kingpin/v2"

	"github.com/ksyun-tap/ksyun-tap/internal/config"
)

// maxAnswer is the largest answer that is read of a running tap: the
// journal's records are bounded, and few share an ID.
const maxAnswer = 16 << 20

// askTap asks the web listener at the URL base of a running tap.
func askTap(ctx context.Context, base, path string) (status int, body []byte, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(base, "/")+path, nil)
	if err != nil {
		return 0, nil, usageError{fmt.Errorf("--url: %w", err)}
	}
	// The tap is asked directly, never by way of a proxy, itself included.
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	res, err := client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer res.Body.Close()
	body, err = io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	return res.StatusCode, body, err
}

// urlFlag adds the flag by which a verb finds the running tap.
func urlFlag(c *kingpin.CmdClause, url *string) {
	c.Flag("url", "The tap's web listener. Default: by KSYUN_TAP_WEB_LISTEN_ADDRESS, else http://"+config.DefaultWebListen+".").PlaceHolder("URL").StringVar(url)
}

// tapURL is what the flag says, or else the environment.
func tapURL(url string) string {
	if url != "" {
		return url
	}
	return localURL(os.Getenv(config.EnvPrefix+"WEB_LISTEN_ADDRESS"), config.DefaultWebListen)
}

// errorPath is where the web listener tells of one failed call.
func errorPath(requestID string) string { return "/api/v1/errors/" + url.PathEscape(requestID) }
