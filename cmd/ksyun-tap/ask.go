package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"github.com/alecthomas/kingpin/v2"

	"github.com/ksyun-tap/ksyun-tap/internal/config"
	"github.com/ksyun-tap/ksyun-tap/usererror"
)

// maxResponse is the maximum size of a running tap's response that is read. The
// journal's records are bounded, and few have the same ID.
const maxResponse = 16 << 20

// tapClient connects to taps directly, not through a proxy.
var tapClient = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

// askTap requests a path of the web listener of a running tap. base is its URL.
func askTap(ctx context.Context, base, path string) (status int, body []byte, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(base, "/")+path, nil)
	if err != nil {
		return 0, nil, usageError{usererror.At("--url", err)}
	}
	res, err := tapClient.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer res.Body.Close()
	body, err = io.ReadAll(io.LimitReader(res.Body, maxResponse))
	return res.StatusCode, body, err
}

// queryTap requests a path of the API of a running tap and returns the data of the
// response.
func queryTap[T any](ctx context.Context, base, path string) (data T, err error) {
	body, err := queryBody(ctx, base, path)
	if err != nil {
		return data, err
	}
	var response struct {
		Data T `json:"data"`
	}
	if err := json.Unmarshal(body, &response); err != nil {
		return data, noTap(base, http.StatusOK, err)
	}
	return response.Data, nil
}

// queryBody requests a path of the API of a running tap. An error of the API is an
// apiError.
func queryBody(ctx context.Context, base, path string) ([]byte, error) {
	status, body, err := askTap(ctx, base, path)
	switch {
	case err != nil:
		return nil, usererror.Wrap(fmt.Errorf("query the tap: %w", err), "set its --web.listen-address with --url")
	case status == http.StatusOK:
		return body, nil
	}
	var response struct {
		Error string `json:"error"`
	}
	if err := json.Unmarshal(body, &response); err != nil {
		return nil, noTap(base, status, err)
	}
	return nil, apiError{status, response.Error}
}

// noTap returns the error for a response that is not one of a tap.
func noTap(base string, status int, err error) error {
	return fmt.Errorf("%s does not respond like a tap (HTTP status %d): %w", base, status, err)
}

// apiError is an error that the API of a tap returned.
type apiError struct {
	status int
	text   string
}

func (e apiError) Error() string { return e.text }

// urlHelp is the help of the flag for the URL of the running tap.
const urlHelp = "URL of the tap's web listener. Default: from KSYUN_TAP_WEB_ADMIN_LISTEN_ADDRESS or KSYUN_TAP_WEB_LISTEN_ADDRESS, otherwise http://" + config.DefaultWebListen + "."

// urlFlag adds the flag for the URL of the running tap.
func urlFlag(c *kingpin.CmdClause, url *string) {
	c.Flag("url", urlHelp).PlaceHolder("URL").StringVar(url)
}

// tapURL returns the URL of the running tap: from the flag, which may be an address, or
// from the environment.
func tapURL(url string) string {
	switch {
	case strings.Contains(url, "://"):
		return url
	case url != "":
		return "http://" + url
	}
	address := cmp.Or(os.Getenv(config.EnvPrefix+"WEB_ADMIN_LISTEN_ADDRESS"), os.Getenv(config.EnvPrefix+"WEB_LISTEN_ADDRESS"))
	return localURL(address, config.DefaultWebListen)
}
