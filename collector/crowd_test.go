package collector

import (
	"bufio"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ksyun-tap/ksyun-tap/collector/ca"
)

// soak has TestCrowdOfConnects run at full size, as make soak does.
var soak = flag.Bool("soak", false, "run the load tests at full size")

// TestCrowdOfConnects has many programs ask for many hosts at once, with room for the
// certificates of some.
func TestCrowdOfConnects(t *testing.T) {
	programs, hosts, kept := 200, 40, 25
	if *soak {
		programs, hosts, kept = 1000, 200, 128
	}
	authority, err := ca.Open(ca.Config{
		Permitted: []string{"*.api.ksyun.com"},
		CacheSize: kept,
		Roots:     func() ([]byte, error) { return nil, nil },
	})
	require.NoError(t, err)
	r := newInterceptRig(t, func(c *Config) {
		c.Intercept = authority
		c.Sink = nobody{}
		c.Timeouts.TLSHandshake, c.Timeouts.Dial = 0, 0 // two cores make four sides of TLS, however slowly
	})
	r.serve(func(w http.ResponseWriter, q *http.Request) { io.WriteString(w, q.Host) })
	names := make([]string, hosts)
	led := make([]string, hosts)
	for i := range names {
		names[i] = fmt.Sprintf("service-%d.api.ksyun.com", i)
		led[i] = names[i] + ":443"
	}
	r.leadAll(led...)

	roots := poolOf(authority.PEM())
	call := func(name string) error {
		nc, err := net.Dial("tcp", r.addr)
		if err != nil {
			return err
		}
		defer nc.Close()
		if _, err := io.WriteString(nc, connectTo443(name)); err != nil {
			return err
		}
		response := make([]byte, len(established))
		if _, err := io.ReadFull(nc, response); err != nil || string(response) != established {
			return fmt.Errorf("%q: %w", response, err)
		}
		tc := tls.Client(nc, &tls.Config{ServerName: name, RootCAs: roots})
		if _, err := io.WriteString(tc, request(name)); err != nil {
			return err
		}
		resp, err := http.ReadResponse(bufio.NewReader(tc), nil)
		if err != nil {
			return err
		}
		body, err := io.ReadAll(resp.Body)
		if err == nil && string(body) != name {
			err = errors.New("the response is " + string(body) + "'s, asked was " + name)
		}
		return err
	}
	start := make(chan struct{})
	var wg sync.WaitGroup
	for i := range programs {
		wg.Go(func() {
			<-start
			assert.NoError(t, call(names[i%hosts]), "program %d", i)
		})
	}
	close(start)
	wg.Wait()
	if s := authority.Stats(); s.Cached > kept || s.Minted < int64(hosts) || s.Evicted == 0 {
		t.Errorf("%+v", s)
	}
	if s := r.proxy.Stats(); s.Intercepted != int64(programs) || s.Accepted != int64(programs) || s.Panics != 0 {
		t.Errorf("%+v", s)
	}
	if len(r.failures) > 0 {
		t.Errorf("%+v", <-r.failures)
	}
}
