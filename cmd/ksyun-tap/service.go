package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/ksyun-tap/ksyun-tap/internal/config"
	"github.com/ksyun-tap/ksyun-tap/internal/systemd"
	"github.com/ksyun-tap/ksyun-tap/usererror"
)

// service is the service manager that started the tap, and the sockets that it
// passed. Both are nil if there is none.
type service struct {
	manager  *systemd.Manager
	sockets  *systemd.Sockets
	problems []usererror.Ignored // of the variables that it sets
}

// csmSocket is the name of the socket for client-side monitoring records.
const csmSocket = "csm"

// openService returns the service manager and the sockets that it passed. onError is
// called for each message that cannot be sent.
func openService(onError func(error)) (service, error) {
	var names []string
	for _, w := range ways {
		names = append(names, w.name)
	}
	sockets, problems, err := systemd.TakeSockets(names, []string{csmSocket})
	if err != nil {
		return service{}, usageError{err}
	}
	manager, more := systemd.Open(onError)
	return service{manager: manager, sockets: sockets, problems: append(problems, more...)}, nil
}

// withSockets makes reread return the addresses of the passed sockets in place of
// the settings they replace, so that the same validation applies to them.
func withSockets(passed map[string][]string, reread func() (*config.Settings, error)) func() (*config.Settings, error) {
	return func() (*config.Settings, error) {
		s, err := reread()
		if err == nil {
			setAddresses(s, passed)
		}
		return s, err
	}
}

func setAddresses(s *config.Settings, passed map[string][]string) {
	for _, w := range ways {
		if a := passed[w.name]; len(a) > 0 {
			*w.addresses(s) = a
		}
	}
	if a := passed[csmSocket]; len(a) > 0 {
		s.CSMListen = a[0]
	}
}

// addressesOf returns the addresses of the sockets by name.
func addressesOf(sockets *systemd.Sockets) map[string][]string {
	all := map[string][]string{csmSocket: sockets.Addresses(csmSocket)}
	for _, w := range ways {
		all[w.name] = sockets.Addresses(w.name)
	}
	return all
}

// alive checks that every listener accepts connections, the relay's locks are not
// held forever, and the web handler responds.
func (t *tap) alive(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, ln := range t.watched {
		group.Go(func() error { return ln.Check(ctx) })
	}
	t.proxy.Stats()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://localhost/-/healthy", nil)
	if err != nil {
		return err
	}
	var response statusOnly
	t.pages.ServeHTTP(&response, req)
	if response != http.StatusOK {
		err = fmt.Errorf("/-/healthy returned status %d", response)
	}
	return errors.Join(err, group.Wait())
}

// statusOnly is an http.ResponseWriter that keeps only the status.
type statusOnly int

// Header returns a header that is discarded.
func (*statusOnly) Header() http.Header { return http.Header{} }

// WriteHeader keeps the first status.
func (s *statusOnly) WriteHeader(status int) {
	if *s == 0 {
		*s = statusOnly(status)
	}
}

func (s *statusOnly) Write(p []byte) (int, error) {
	s.WriteHeader(http.StatusOK)
	return len(p), nil
}

// status returns the status line for the service manager. failed is the error of
// the last reload, if it failed.
func (t *tap) status(failed error) string {
	if failed != nil {
		first, _, _ := strings.Cut(failed.Error(), "\n")
		return "reload failed, the old settings remain in use: " + first
	}
	var addresses []string
	for _, w := range ways {
		for _, ln := range t.listeners[w.name] {
			if w.serve != nil {
				addresses = append(addresses, ln.Addr().String())
			}
		}
	}
	return "tapping on " + strings.Join(addresses, ", ")
}
