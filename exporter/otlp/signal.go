package otlp

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"golang.org/x/net/http/httpguts"
)

// Signal holds the settings of one signal: traces, logs or metrics. Those of OTLP
// are valid only if OTLP is enabled.
type Signal struct {
	OTLP, Console bool // the enabled exporters

	Protocol string
	Endpoint *url.URL // for HTTP
	Target   string   // for gRPC
	Insecure bool     // no TLS to Endpoint or Target
	Headers  map[string]string
	Gzip     bool
	Timeout  time.Duration // of one request
	TLS      *tls.Config   // nil for the default

	Batch BatchLimits

	path string // of the signal, such as "v1/logs"
}

// BatchLimits holds the settings of the queue of a signal.
type BatchLimits struct {
	Queue   int           // maximum number of waiting items
	Size    int           // maximum number of items in one export
	Delay   time.Duration // time after which an incomplete batch is exported
	Timeout time.Duration // of one export
}

// The values of Signal.Protocol.
const (
	ProtocolGRPC = "grpc"
	ProtocolHTTP = "http/protobuf"
	ProtocolJSON = "http/json"
)

// forAll is the prefix of the variables for OTLP that apply to all signals.
// Those for one signal take precedence.
const forAll = "OTEL_EXPORTER_OTLP_"

// kind is what distinguishes the variables of a signal.
type kind struct {
	name       string // in the names of variables
	path       string // of the default endpoint
	batches    string // prefix of the variables for batches; "" if there are none
	delay      int    // default delay of a batch in milliseconds
	console    bool   // the exporter "console" is supported
	also       string // another exporter that is accepted and needs nothing
	byEndpoint bool   // setting an endpoint enables OTLP
	json       bool   // the protocol http/json is supported
}

// signalReader reads the variables of one signal.
type signalReader struct {
	*reader
	kind
	to *Signal
}

// own returns the variable for OTLP of this signal.
func (r *signalReader) own(name string) string { return forAll + r.name + "_" + name }

// both returns the variables for OTLP of this signal and of all.
func (r *signalReader) both(name string) []string { return []string{r.own(name), forAll + name} }

// exporters reads which exporters are enabled. Setting an endpoint enables spans
// by OTLP. Otherwise OTLP is not the default, because it would connect to
// localhost for users who do not want telemetry.
func (r *signalReader) exporters() {
	name := "OTEL_" + r.name + "_EXPORTER"
	known := []string{"otlp", "none"}
	if r.console {
		known = []string{"otlp", "console", "none"}
	}
	to, none, others := r.to, false, false
	for item := range strings.SplitSeq(r.get(name), ",") {
		switch item = strings.ToLower(strings.TrimSpace(item)); {
		case item == "otlp":
			to.OTLP = true
		case item == "console" && r.console:
			to.Console = true
		case item == "none":
			none = true
		case item == "", item == r.also:
		default:
			others = true
		}
	}
	switch {
	case others:
		r.ignore(name, "names an exporter that is not one of "+strings.Join(known, ", "))
	case none && (to.OTLP || to.Console):
		r.ignore(name, "names none together with other exporters")
	}
	if r.byEndpoint && !to.OTLP && !to.Console && !none {
		to.OTLP = r.get(r.own("ENDPOINT")) != "" || r.get(forAll+"ENDPOINT") != ""
	}
}

// otlp reads the settings of the OTLP exporter.
func (r *signalReader) otlp() {
	to := r.to
	to.Protocol = r.choice(ProtocolHTTP, []string{ProtocolGRPC, ProtocolHTTP, ProtocolJSON}, r.both("PROTOCOL")...)
	if to.Protocol == ProtocolJSON && !r.json {
		to.Protocol = ProtocolHTTP
	}
	if !r.findEndpoint() {
		to.OTLP = false // the default address could belong to another service
		return
	}
	to.Gzip = r.choice("none", []string{"gzip", "none"}, r.both("COMPRESSION")...) == "gzip"
	to.Timeout = r.millis(10*time.Second, 1, r.both("TIMEOUT")...)
	for _, name := range r.both("HEADERS") {
		if to.Headers = r.readHeaders(name); len(to.Headers) > 0 {
			break
		}
	}
	if !to.Insecure {
		r.readTLS()
	}
}

// findEndpoint sets the endpoint. It returns false if every endpoint variable that is set is invalid.
func (r *signalReader) findEndpoint() bool {
	named := false
	for _, name := range r.both("ENDPOINT") {
		v := r.get(name)
		if v == "" {
			continue
		}
		named = true
		var err error
		if r.to.Protocol == ProtocolGRPC {
			err = r.setTarget(v)
		} else {
			err = r.setURL(v, name == forAll+"ENDPOINT")
		}
		if err == nil {
			return true
		}
		r.ignore(name, err.Error())
	}
	if named {
		return false
	}
	r.to.Insecure = true
	r.to.Target = "localhost:4317"
	r.to.Endpoint = &url.URL{Scheme: "http", Host: "localhost:4318", Path: "/" + r.path}
	return true
}

var (
	errNoURL     = errors.New("is not a URL such as http://HOST:4318; nothing is sent there")
	errUserInURL = errors.New("contains a user or password, for which use " + forAll + "HEADERS; nothing is sent there")
	errNoTarget  = errors.New("is not an address such as http://HOST:4317; nothing is sent there")
)

// setURL sets the URL for HTTP. If base is true, the path of the signal is appended.
func (r *signalReader) setURL(text string, base bool) error {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || !validPort(u.Port()):
		return errNoURL
	case u.User != nil:
		return errUserInURL
	}
	r.to.Endpoint = &url.URL{Scheme: u.Scheme, Host: u.Host, Path: cmp.Or(u.Path, "/")}
	if base {
		r.to.Endpoint.Path = path.Join("/", u.Path, r.path)
	}
	r.to.Insecure = u.Scheme == "http"
	return nil
}

// setTarget sets the target for gRPC.
func (r *signalReader) setTarget(text string) error {
	if _, port, err := net.SplitHostPort(text); err == nil && validPort(port) && port != "" {
		r.to.Target, r.to.Insecure = text, r.isInsecure()
		return nil
	}
	u, err := url.Parse(text)
	if err != nil {
		return errNoTarget
	}
	switch {
	case u.User != nil:
		return errUserInURL
	case u.Scheme == "http" || u.Scheme == "https":
		if u.Hostname() == "" || !validPort(u.Port()) {
			return errNoTarget
		}
		r.to.Target, r.to.Insecure = u.Host, u.Scheme == "http"
		if u.Port() == "" {
			r.to.Target = net.JoinHostPort(u.Hostname(), map[string]string{"http": "80", "https": "443"}[u.Scheme])
		}
	case u.Scheme == "unix" && u.Path+u.Opaque != "":
		r.to.Target, r.to.Insecure = text, true
	case u.Scheme == "dns" && strings.Trim(u.Path+u.Opaque, "/") != "":
		r.to.Target, r.to.Insecure = text, r.isInsecure()
	default:
		return errNoTarget
	}
	return nil
}

// isInsecure reads the variables that apply to addresses without a scheme.
func (r *signalReader) isInsecure() bool {
	if r.get(r.own("INSECURE")) != "" {
		return r.boolean(r.own("INSECURE"))
	}
	return r.boolean(forAll + "INSECURE")
}

func validPort(port string) bool {
	_, err := strconv.ParseUint(cmp.Or(port, "1"), 10, 16)
	return err == nil
}

// readHeaders parses "name=value,name=value" with percent-encoded values.
func (r *signalReader) readHeaders(name string) map[string]string {
	headers := map[string]string{}
	whole := r.pairs(name, func(key, value string) bool {
		if !httpguts.ValidHeaderFieldName(key) || !httpguts.ValidHeaderFieldValue(value) {
			return false
		}
		headers[key] = value
		return true
	})
	if !whole {
		r.ignore(name, "has items that are not NAME=VALUE with the value percent-encoded; the others are sent")
	}
	return headers
}

// readTLS reads the trusted certificates and the client certificate.
func (r *signalReader) readTLS() {
	cfg := &tls.Config{MinVersion: tls.VersionTLS12}
	for _, name := range r.both("CERTIFICATE") {
		data := r.file(name)
		if data == nil {
			continue
		}
		if roots := x509.NewCertPool(); roots.AppendCertsFromPEM(data) {
			cfg.RootCAs = roots
			break
		}
		r.ignore(name, "names a file without a PEM certificate; the system's CAs are trusted")
	}
	for _, prefix := range []string{r.own(""), forAll} {
		cert, key := r.file(prefix+"CLIENT_CERTIFICATE"), r.file(prefix+"CLIENT_KEY")
		if cert == nil || key == nil {
			continue
		}
		if pair, err := tls.X509KeyPair(cert, key); err == nil {
			cfg.Certificates = []tls.Certificate{pair}
			break
		}
		r.ignore(prefix+"CLIENT_CERTIFICATE", "names a file without a PEM certificate for the key in "+prefix+"CLIENT_KEY")
	}
	r.to.TLS = cfg
}

// batch reads the settings of batches, which have the same defaults for every
// signal but for the delay.
func (r *signalReader) batch() {
	if r.batches == "" {
		return
	}
	b := &r.to.Batch
	b.Queue = r.number(sdktrace.DefaultMaxQueueSize, 1, maxQueueSize, r.batches+"MAX_QUEUE_SIZE")
	b.Size = min(b.Queue, r.number(sdktrace.DefaultMaxExportBatchSize, 1, maxQueueSize, r.batches+"MAX_EXPORT_BATCH_SIZE"))
	b.Delay = r.millis(time.Duration(r.delay)*time.Millisecond, 1, r.batches+"SCHEDULE_DELAY")
	b.Timeout = r.millis(sdktrace.DefaultExportTimeout*time.Millisecond, 1, r.batches+"EXPORT_TIMEOUT")
}
