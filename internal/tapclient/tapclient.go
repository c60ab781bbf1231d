// Package tapclient requests the API of a running tap.
package tapclient

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"

	"github.com/ksyun-tap/ksyun-tap/internal/config"
	"github.com/ksyun-tap/ksyun-tap/usererror"
)

// maxResponse is the maximum size of a response that is read. The journal's records are
// bounded, and few have the same ID.
const maxResponse = 16 << 20

// client connects to taps directly, not through a proxy.
var client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

// URL returns the URL of the running tap's web listener: from a flag, which may be an
// address, or from the environment.
func URL(flag string) string {
	switch {
	case strings.Contains(flag, "://"):
		return strings.TrimSuffix(flag, "/")
	case flag != "":
		return "http://" + strings.TrimSuffix(flag, "/")
	}
	address := cmp.Or(os.Getenv(config.EnvPrefix+"WEB_ADMIN_LISTEN_ADDRESS"), os.Getenv(config.EnvPrefix+"WEB_LISTEN_ADDRESS"))
	return LocalURL(address, config.DefaultWebListen)
}

// LocalURL returns the URL of a listen address on this host. Of several lines it
// takes the first; if there is none, it takes fallback.
func LocalURL(address, fallback string) string {
	address, _, _ = strings.Cut(address, "\n")
	address = cmp.Or(address, fallback)
	host, port, err := net.SplitHostPort(address)
	if err == nil && (host == "" || host == "0.0.0.0" || host == "::") { // all addresses
		address = "127.0.0.1:" + port
	}
	return "http://" + address
}

// Error is an error that the API returned.
type Error struct {
	Status int // of HTTP
	text   string
}

func (e Error) Error() string { return e.text }

// Get requests a path of the tap at url. It returns the HTTP status and the body.
func Get(ctx context.Context, url, path string) (status int, body []byte, err error) {
	res, err := send(ctx, url+path, nil)
	if err != nil {
		return 0, nil, err
	}
	defer res.Body.Close()
	body, err = io.ReadAll(io.LimitReader(res.Body, maxResponse))
	return res.StatusCode, body, err
}

// Query requests a path of the API of the tap at url, and returns the data of the
// response. An error that the API returned is an Error.
func Query[T any](ctx context.Context, url, path string) (data T, err error) {
	status, body, err := Get(ctx, url, path)
	if err != nil {
		return data, usererror.Wrap(fmt.Errorf("query the tap: %w", err), "set its --web.listen-address with --url")
	}
	var response struct {
		Data  T      `json:"data"`
		Error string `json:"error"`
	}
	if err := json.Unmarshal(body, &response); err != nil {
		return data, fmt.Errorf("%s does not respond like a tap (HTTP status %d): %w", url, status, err)
	}
	if status != http.StatusOK {
		return data, Error{status, response.Error}
	}
	return response.Data, nil
}

func send(ctx context.Context, url string, header http.Header) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, usererror.At("--url", err)
	}
	if header != nil {
		req.Header = header
	}
	return client.Do(req)
}
