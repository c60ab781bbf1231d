package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/alecthomas/kingpin/v2"
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
	c.Flag("timeout", "Timeout for the tap's response.").Default("2s").DurationVar(&v.timeout)
	return v
}

func (v *readyVerb) run(ctx context.Context, std stdio) error {
	ctx, cancel := context.WithTimeout(ctx, v.timeout)
	defer cancel()
	status, text, err := askTap(ctx, tapURL(v.url), "/-/ready")
	if err != nil {
		return fmt.Errorf("not ready: %w", err)
	}
	if status != http.StatusOK {
		return errors.New("not ready: " + strings.TrimSpace(string(text)))
	}
	_, err = fmt.Fprintln(std.out, "ready")
	return err
}

// localURL returns the URL of a listen address on this host. Of several lines it
// takes the first; if there is none, it takes fallback.
func localURL(address, fallback string) string {
	address, _, _ = strings.Cut(address, "\n")
	address = cmp.Or(address, fallback)
	host, port, err := net.SplitHostPort(address)
	if err == nil && (host == "" || host == "0.0.0.0" || host == "::") { // all addresses
		address = "127.0.0.1:" + port
	}
	return "http://" + address
}
