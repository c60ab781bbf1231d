package main

import (
	"context"
	"errors"
	"fmt"
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
	switch {
	case address == "":
		address = fallback
	case strings.HasPrefix(address, ":"):
		address = "127.0.0.1" + address
	case strings.HasPrefix(address, "0.0.0.0:"):
		address = "127.0.0.1" + strings.TrimPrefix(address, "0.0.0.0")
	case strings.HasPrefix(address, "[::]:"):
		address = "[::1]" + strings.TrimPrefix(address, "[::]")
	}
	return "http://" + address
}
