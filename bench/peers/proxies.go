//go:build linux

package main

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	_ "embed"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"text/template"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/ksyun-tap/ksyun-tap/internal/selfsigned"
)

// The names of the contenders. The last one is measured only if -only names it.
const (
	direct       = "no proxy"
	nginx        = "nginx"
	haproxy      = "HAProxy"
	tap          = "ksyun-tap"
	reverseProxy = "ReverseProxy"
	tapAccessLog = "ksyun-tap+log"
)

var contenders = []string{direct, nginx, haproxy, tap, reverseProxy, tapAccessLog}

// baselines are the binaries of the contenders that -baseline adds.
var baselines = map[string]string{}

//go:embed nginx.conf.tmpl
var nginxConf string

//go:embed haproxy.cfg.tmpl
var haproxyConf string

// site is the environment for which proxies are configured, for one row.
type site struct {
	Dir           string
	Host          string
	Upstream      string // address
	TLSIn, TLSOut bool
	Cert          string // PEM file with the certificate and key of upstream and proxies
	Files         int    // file descriptors that a proxy may use
	Pairs         int    // connections that it may have on either side

	binaries    string // directory of the tap
	self        string
	certificate tls.Certificate
	roots       *x509.CertPool
}

func newSite(dir, binaries string, w way, files int) (*site, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	s := &site{
		Dir: dir, Host: host, Cert: filepath.Join(dir, "cert.pem"), TLSIn: w.tlsIn, TLSOut: w.tlsOut,
		Files: files, Pairs: (files - filesFor(0)/2) / 2, binaries: binaries, self: self, roots: x509.NewCertPool(),
	}
	var certPEM []byte
	s.certificate, certPEM = selfsigned.Certificate(host)
	key, err := x509.MarshalPKCS8PrivateKey(s.certificate.PrivateKey)
	if err != nil {
		return nil, err
	}
	s.roots.AppendCertsFromPEM(certPEM)
	return s, os.WriteFile(s.Cert, append(certPEM, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})...), 0o600)
}

func (s *site) serverTLS() *tls.Config {
	if !s.TLSOut {
		return nil
	}
	return &tls.Config{Certificates: []tls.Certificate{s.certificate}, DynamicRecordSizingDisabled: true, MinVersion: tls.VersionTLS13}
}

// proxy is a running contender.
type proxy struct {
	*process    // nil for the direct connection
	receiver    *process
	receiverURL string
	web         string // address of the tap's metrics
	calls       int    // so far
	address     string
	roots       *x509.CertPool // nil if programs use plain HTTP
}

func (p *proxy) clientTLS() *tls.Config {
	if p.roots == nil {
		return nil
	}
	return &tls.Config{ServerName: host, RootCAs: p.roots, MinVersion: tls.VersionTLS13, DynamicRecordSizingDisabled: true}
}

// launch starts a contender.
func (s *site) launch(name string) (*proxy, error) {
	p := &proxy{address: freeAddress()}
	if s.TLSIn {
		p.roots = s.roots
	}
	var args, env []string
	var err error
	switch name {
	case direct:
		p.address = s.Upstream
		if s.TLSOut {
			p.roots = s.roots
		}
		return p, nil
	case nginx:
		args = []string{"nginx", "-g", "daemon off;", "-c"}
		args, err = s.configure(args, "nginx.conf", nginxConf, p.address)
	case haproxy:
		args, err = s.configure([]string{"haproxy", "-db", "-q", "-f"}, "haproxy.cfg", haproxyConf, p.address)
	case reverseProxy:
		args = []string{
			s.self, "-role=reverseproxy", "-listen=" + p.address, "-upstream=" + s.Upstream, "-cert=" + s.Cert,
			fmt.Sprintf("-tls-in=%t", s.TLSIn), fmt.Sprintf("-tls-out=%t", s.TLSOut),
		}
		env = []string{"GOMAXPROCS=1"}
	default:
		args, env, err = s.tap(p, name)
	}
	if err != nil {
		return nil, err
	}
	if p.process, err = start(p.address, proxyCore, args, env); err != nil {
		return nil, errors.Join(err, p.stop())
	}
	if s.TLSIn && p.receiver != nil {
		ca, err := os.ReadFile(filepath.Join(s.Dir, name+"-ca", "ca.pem"))
		if err != nil {
			return nil, errors.Join(err, p.stop())
		}
		p.roots = x509.NewCertPool()
		p.roots.AppendCertsFromPEM(ca)
	}
	return p, nil
}

// configure writes a configuration file and appends its name to args.
func (s *site) configure(args []string, name, text, address string) ([]string, error) {
	var b strings.Builder
	if err := template.Must(template.New(name).Parse(text)).Execute(&b, struct {
		*site
		Address string
	}{s, address}); err != nil {
		return nil, err
	}
	path := filepath.Join(s.Dir, name)
	return append(args, path), os.WriteFile(path, []byte(b.String()), 0o600)
}

// tap returns the command line of the tap with all sinks enabled, and starts a receiver
// for its spans.
func (s *site) tap(p *proxy, name string) (args, env []string, err error) {
	binary := cmp.Or(baselines[name], filepath.Join(s.binaries, "ksyun-tap"))
	p.web = freeAddress()
	plain := p.address
	if s.TLSIn {
		plain = freeAddress()
	}
	args = []string{
		binary, "run", "--proxy.listen-address=" + plain, "--web.listen-address=" + p.web,
		"--upstream.ca-file=" + s.Cert, "--log.file=" + filepath.Join(s.Dir, name+".log"),
		"--upstream.connect-to=" + host + ":80=" + s.Upstream, "--upstream.connect-to=" + host + ":443=" + s.Upstream,
	}
	if s.TLSIn {
		args = append(args, "--proxy.tls-listen-address="+p.address, "--intercept", "--intercept.ca-dir="+filepath.Join(s.Dir, name+"-ca"))
	} else if s.TLSOut {
		args = append(args, "--upstream.scheme=https")
	}
	if name == tapAccessLog {
		args = append(args, "--log.access")
	}
	if *profiles != "" {
		args = append(args, "--web.enable-pprof")
	}
	receiver := freeAddress()
	p.receiverURL = "http://" + receiver
	p.receiver, err = start(receiver, loadCore, []string{s.self, "-role=receiver", "-listen=" + receiver}, []string{"GOMAXPROCS=1"})
	return args, []string{
		"GOMAXPROCS=1", "OTEL_TRACES_EXPORTER=otlp", "OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf", "OTEL_EXPORTER_OTLP_ENDPOINT=" + p.receiverURL,
	}, err
}

// stop stops everything that launch started.
func (p *proxy) stop() error {
	var errs []error
	for _, started := range []*process{p.process, p.receiver} {
		if started != nil {
			errs = append(errs, started.stop())
		}
	}
	return errors.Join(errs...)
}

// checkSinks returns an error unless the tap counted every call and the receiver got
// spans. It returns the numbers of observations that each sink dropped. It stops the
// tap, so that all spans are exported.
func (p *proxy) checkSinks(l *loop) (dropped map[string]int, err error) {
	if p.receiver == nil {
		return nil, nil
	}
	counted, dropped := 0, map[string]int{}
	for range 100 { // failures are counted asynchronously
		if counted, err = p.scrape(dropped); err != nil || counted >= p.calls {
			break
		}
		if err := l.settle(100 * time.Millisecond); err != nil {
			return nil, err
		}
	}
	if err != nil {
		return nil, err
	}
	if counted != p.calls {
		return nil, fmt.Errorf("the tap counted %d of %d calls, and dropped %v", counted, p.calls, dropped)
	}
	err = p.process.stop()
	p.process = nil
	if err != nil {
		return nil, err
	}
	resp, err := http.Get(p.receiverURL + "/requests")
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	received := 0
	if _, err := fmt.Fscan(resp.Body, &received); err != nil {
		return nil, err
	}
	if received == 0 {
		return nil, errors.New("the receiver got no spans")
	}
	return dropped, nil
}

// scrape returns the number of calls that the tap has counted, and sets the numbers of
// observations that each sink has dropped.
func (p *proxy) scrape(dropped map[string]int) (counted int, err error) {
	resp, err := http.Get("http://" + p.web + "/metrics")
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(resp.Body)
	if err != nil {
		return 0, err
	}
	for _, m := range families["ksyun_api_requests_total"].GetMetric() {
		counted += int(m.GetCounter().GetValue())
	}
	clear(dropped)
	for _, m := range families["ksyun_tap_observations_dropped_total"].GetMetric() {
		for _, label := range m.GetLabel() {
			if n := int(m.GetCounter().GetValue()); label.GetName() == "sink" && n > 0 {
				dropped[label.GetValue()] += n
			}
		}
	}
	return counted, nil
}
