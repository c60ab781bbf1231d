package web

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/exporter-toolkit/web"
	"go.uber.org/zap"
	"go.uber.org/zap/exp/zapslog"
	"golang.org/x/sync/errgroup"
)

// The limits of the admin server. Requests and responses are small.
const (
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 10 * time.Second
	writeTimeout      = 30 * time.Second
	idleTimeout       = 2 * time.Minute
	maxHeaderBytes    = 16 << 10
)

// ServerConfig is the configuration of a Server.
type ServerConfig struct {
	Handler http.Handler
	// ConfigFile is a web configuration file of the Prometheus exporter toolkit
	// for TLS and basic authentication. If it is "", neither is used. The file is
	// read again for each connection, so that certificates and users may change.
	ConfigFile string
	// MaxConnections limits the connections of all listeners together. For one
	// beyond it, the one that has been idle for longest is closed or, if none is
	// idle, the one whose request began first. 0 is no limit.
	MaxConnections int
	// Log receives errors of connections. If nil, they are not logged.
	Log *zap.Logger
}

// Server serves the admin handler on existing listeners.
type Server struct {
	configFile string
	log        *slog.Logger
	listeners  []net.Listener
	servers    []*http.Server // one per listener: the toolkit sets up each on its own
}

// NewServer returns a server for the listeners and takes ownership of them. It
// returns an error if the configuration file is not valid.
func NewServer(cfg ServerConfig, listeners ...net.Listener) (*Server, error) {
	if err := CheckConfig(cfg.ConfigFile); err != nil {
		return nil, err
	}
	log := cfg.Log
	if log == nil {
		log = zap.NewNop()
	}
	s := &Server{
		configFile: cfg.ConfigFile,
		log:        slog.New(zapslog.NewHandler(log.Core(), zapslog.WithName("web"))),
		listeners:  listeners,
	}
	open := newConns(cfg.MaxConnections)
	for range listeners {
		srv := &http.Server{
			Handler:           cfg.Handler,
			ReadHeaderTimeout: readHeaderTimeout,
			ReadTimeout:       readTimeout,
			WriteTimeout:      writeTimeout,
			IdleTimeout:       idleTimeout,
			MaxHeaderBytes:    maxHeaderBytes,
			ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelWarn),
		}
		if cfg.MaxConnections > 0 {
			srv.ConnState = open.note
		}
		// It is called once, when the toolkit has put authentication in front of the
		// handler and before the first connection is accepted.
		srv.BaseContext = func(net.Listener) context.Context {
			srv.Handler = openHealth(cfg.Handler, srv.Handler)
			return context.Background()
		}
		s.servers = append(s.servers, srv)
	}
	return s, nil
}

// openHealth returns a handler that leaves out authentication for health checks, so
// that a kubelet or a load balancer needs no password.
func openHealth(open, authenticated http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == pathHealthy || r.URL.Path == pathReady {
			open.ServeHTTP(w, r)
			return
		}
		authenticated.ServeHTTP(w, r)
	})
}

// Serve serves until Shutdown is called, and then returns nil. If one of the
// listeners fails, Serve closes the others and returns the error.
func (s *Server) Serve() error {
	flags := &web.FlagConfig{WebConfigFile: &s.configFile}
	var group errgroup.Group
	for i, l := range s.listeners {
		group.Go(func() error {
			err := web.Serve(l, s.servers[i], flags, s.log)
			if errors.Is(err, http.ErrServerClosed) {
				return nil
			}
			s.close()
			return fmt.Errorf("serve %s: %w", l.Addr(), err)
		})
	}
	return group.Wait()
}

// Shutdown waits for active requests until ctx is done and then closes their
// connections. If it is called before Serve, Serve returns at once.
func (s *Server) Shutdown(ctx context.Context) error {
	var errs []error
	for i, srv := range s.servers {
		errs = append(errs, srv.Shutdown(ctx))
		// The http.Server does not close a listener that it never served.
		if err := s.listeners[i].Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	if ctx.Err() != nil {
		s.close()
	}
	return errors.Join(errs...)
}

// close closes all connections.
func (s *Server) close() {
	for _, srv := range s.servers {
		_ = srv.Close()
	}
}
