package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/alecthomas/kingpin/v2"

	"github.com/ksyun-tap/ksyun-tap/internal/config"
)

// readyVerb asks a running tap whether it is ready, for images without curl.
type readyVerb struct {
	url     string
	timeout time.Duration
}

func newReady(app *kingpin.Application) *readyVerb {
	v := &readyVerb{}
	c := app.Command("ready", "Exit with 0 if the tap that runs here is ready, with 1 if not.")
	c.Flag("url", "Address of the running tap's admin listener. Default: by KSYUN_TAP_WEB_LISTEN_ADDRESS, else http://"+config.DefaultWebListen+".").PlaceHolder("URL").StringVar(&v.url)
	c.Flag("timeout", "How long to wait for its answer.").Default("2s").DurationVar(&v.timeout)
	return v
}

func (v *readyVerb) run(ctx context.Context, std stdio) error {
	base := v.url
	if base == "" {
		base = localURL(os.Getenv(config.EnvPrefix + "WEB_LISTEN_ADDRESS"))
	}
	ctx, cancel := context.WithTimeout(ctx, v.timeout)
	defer cancel()
	status, text, err := askAdmin(ctx, base, "/-/ready")
	if err != nil {
		return fmt.Errorf("not ready: %w", err)
	}
	if status != http.StatusOK {
		return errors.New("not ready: " + strings.TrimSpace(string(text)))
	}
	_, err = fmt.Fprintln(std.out, "ready")
	return err
}

// localURL is the URL by which this host reaches a listen address.
func localURL(address string) string {
	address, _, _ = strings.Cut(address, "\n") // of several, the first
	switch {
	case address == "":
		address = config.DefaultWebListen
	case strings.HasPrefix(address, ":"):
		address = "127.0.0.1" + address
	case strings.HasPrefix(address, "0.0.0.0:"):
		address = "127.0.0.1" + strings.TrimPrefix(address, "0.0.0.0")
	case strings.HasPrefix(address, "[::]:"):
		address = "[::1]" + strings.TrimPrefix(address, "[::]")
	}
	return "http://" + address
}
