package traces

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/url"
	"os"
	"path"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"golang.org/x/net/http/httpguts"
)

// Problem is an environment variable that is ignored, in whole or in part.
type Problem struct {
	Variable string
	Reason   string // never quotes the value, which may hold a secret
}

// String returns the problem as one line.
func (p Problem) String() string { return p.Variable + ": " + p.Reason }

// Environment is what the OTEL_* variables say about traces, read as
// OpenTelemetry's specification wants it: surrounding blanks and the case of
// keywords do not matter, and a value that is not understood counts as not set.
// Its numbers are within bounds. The SDK reads none of these variables itself.
type Environment struct {
	// Problems lists the variables that are ignored, in the order in which they
	// were read.
	Problems []Problem

	otlp, console bool // the exporters
	protocol      string
	endpoint      *url.URL // of HTTP
	target        string   // of gRPC
	insecure      bool     // no TLS to endpoint or target
	headers       map[string]string
	gzip          bool
	timeout       time.Duration
	tls           *tls.Config // nil is the default

	queue, batch       int
	delay, exportLimit time.Duration
	maxLength          int // of an attribute's text, in characters; negative for no limit
	maxCount           int // of attributes
	resource           []attribute.KeyValue
}

// The protocols.
const (
	protocolGRPC = "grpc"
	protocolHTTP = "http/protobuf"
	protocolJSON = "http/json"
)

// Bounds of numbers. A span that waits takes some kilobytes.
const (
	maxQueueSize = 100_000
	maxMillis    = 3_600_000
)

// The prefixes of variables for OTLP: those for traces go before those for all
// signals.
const (
	forTraces = "OTEL_EXPORTER_OTLP_TRACES_"
	forAll    = "OTEL_EXPORTER_OTLP_"
)

// ReadEnvironment reads the variables that getenv returns.
func ReadEnvironment(getenv func(string) string) *Environment {
	r := reader{getenv: getenv, e: &Environment{}}
	r.exporters()
	if r.e.otlp {
		r.otlp()
	}
	r.batches()
	r.spanLimits()
	r.resource()
	return r.e
}

// reader reads variables into e.
type reader struct {
	getenv func(string) string
	e      *Environment
}

// get returns a variable's value; a blank one is not set.
func (r *reader) get(name string) string { return strings.TrimSpace(r.getenv(name)) }

func (r *reader) ignore(name, reason string) {
	r.e.Problems = append(r.e.Problems, Problem{name, reason})
}

// boolean reads a variable that is true, or anything else for false.
func (r *reader) boolean(name string) bool {
	v := strings.ToLower(r.get(name))
	if v != "" && v != "true" && v != "false" {
		r.ignore(name, "is neither true nor false, and counts as false")
	}
	return v == "true"
}

// choice returns the first of the variables that is one of known.
func (r *reader) choice(fallback string, known []string, names ...string) string {
	for _, name := range names {
		v := r.get(name)
		if v == "" {
			continue
		}
		for _, k := range known {
			if strings.EqualFold(k, v) {
				return k
			}
		}
		r.ignore(name, "is none of "+strings.Join(known, ", "))
	}
	return fallback
}

// number returns the first of the variables that is a number within bounds.
func (r *reader) number(fallback, least, most int, names ...string) int {
	for _, name := range names {
		v := r.get(name)
		if v == "" {
			continue
		}
		n, err := strconv.Atoi(v)
		if err == nil && n >= least && n <= most {
			return n
		}
		r.ignore(name, "is no number from "+strconv.Itoa(least)+" to "+strconv.Itoa(most))
	}
	return fallback
}

func (r *reader) millis(fallback time.Duration, least int, names ...string) time.Duration {
	n := r.number(int(fallback.Milliseconds()), least, maxMillis, names...)
	return time.Duration(n) * time.Millisecond
}

// exporters reads which exporters are wanted. An endpoint alone asks for OTLP.
// Without one, OTLP is not the default: it would connect to localhost for users
// who want no traces.
func (r *reader) exporters() {
	const name = "OTEL_TRACES_EXPORTER"
	if r.boolean("OTEL_SDK_DISABLED") {
		return
	}
	e, none, others := r.e, false, false
	for item := range strings.SplitSeq(r.get(name), ",") {
		switch strings.ToLower(strings.TrimSpace(item)) {
		case "otlp":
			e.otlp = true
		case "console":
			e.console = true
		case "none":
			none = true
		case "":
		default:
			others = true
		}
	}
	switch {
	case others:
		r.ignore(name, "names an exporter that is not one of otlp, console and none")
	case none && (e.otlp || e.console):
		r.ignore(name, "names none beside other exporters")
	}
	if !e.otlp && !e.console && !none {
		e.otlp = r.get(forTraces+"ENDPOINT") != "" || r.get(forAll+"ENDPOINT") != ""
	}
}

// otlp reads where spans go, and how.
func (r *reader) otlp() {
	e := r.e
	e.protocol = r.choice(protocolHTTP, []string{protocolGRPC, protocolHTTP, protocolJSON}, forTraces+"PROTOCOL", forAll+"PROTOCOL")
	if !r.findEndpoint() {
		e.otlp = false // the default would be another's address
		return
	}
	e.gzip = r.choice("none", []string{"gzip", "none"}, forTraces+"COMPRESSION", forAll+"COMPRESSION") == "gzip"
	e.timeout = r.millis(10*time.Second, 1, forTraces+"TIMEOUT", forAll+"TIMEOUT")
	for _, name := range []string{forTraces + "HEADERS", forAll + "HEADERS"} {
		if e.headers = r.readHeaders(name); len(e.headers) > 0 {
			break
		}
	}
	if !e.insecure {
		r.readTLS()
	}
}

// findEndpoint reports false if every variable that names one is wrong.
func (r *reader) findEndpoint() bool {
	named := false
	for _, name := range []string{forTraces + "ENDPOINT", forAll + "ENDPOINT"} {
		v := r.get(name)
		if v == "" {
			continue
		}
		named = true
		var err error
		if r.e.protocol == protocolGRPC {
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
	r.e.insecure = true
	r.e.target = "localhost:4317"
	r.e.endpoint = &url.URL{Scheme: "http", Host: "localhost:4318", Path: "/v1/traces"}
	return true
}

var (
	errNoURL     = errors.New("is no URL such as http://HOST:4318; no spans are sent")
	errUserInURL = errors.New("holds a user or password, which " + forAll + "HEADERS is for; no spans are sent")
	errNoTarget  = errors.New("is no address such as http://HOST:4317; no spans are sent")
)

// setURL reads the URL for HTTP; a base is one that the path for traces is
// added to.
func (r *reader) setURL(text string, base bool) error {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || !validPort(u.Port()):
		return errNoURL
	case u.User != nil:
		return errUserInURL
	}
	r.e.endpoint = &url.URL{Scheme: u.Scheme, Host: u.Host, Path: cmp.Or(u.Path, "/")}
	if base {
		r.e.endpoint.Path = path.Join("/", u.Path, "v1/traces")
	}
	r.e.insecure = u.Scheme == "http"
	return nil
}

// setTarget reads what gRPC takes for an address.
func (r *reader) setTarget(text string) error {
	if _, port, err := net.SplitHostPort(text); err == nil && validPort(port) && port != "" {
		r.e.target, r.e.insecure = text, r.isInsecure()
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
		r.e.target, r.e.insecure = u.Host, u.Scheme == "http"
		if u.Port() == "" {
			r.e.target = net.JoinHostPort(u.Hostname(), map[string]string{"http": "80", "https": "443"}[u.Scheme])
		}
	case u.Scheme == "unix" && u.Path+u.Opaque != "":
		r.e.target, r.e.insecure = text, true
	case u.Scheme == "dns" && strings.Trim(u.Path+u.Opaque, "/") != "":
		r.e.target, r.e.insecure = text, r.isInsecure()
	default:
		return errNoTarget
	}
	return nil
}

// isInsecure reads the variables that count for addresses without a scheme.
func (r *reader) isInsecure() bool {
	if r.get(forTraces+"INSECURE") != "" {
		return r.boolean(forTraces + "INSECURE")
	}
	return r.boolean(forAll + "INSECURE")
}

func validPort(port string) bool {
	_, err := strconv.ParseUint(cmp.Or(port, "1"), 10, 16)
	return err == nil
}

// readHeaders reads "name=value,name=value", values being percent-encoded.
func (r *reader) readHeaders(name string) map[string]string {
	headers := map[string]string{}
	bad := false
	for item := range strings.SplitSeq(r.get(name), ",") {
		if strings.TrimSpace(item) == "" {
			continue
		}
		key, text, found := strings.Cut(item, "=")
		key = strings.TrimSpace(key)
		value, err := url.PathUnescape(strings.TrimSpace(text))
		if !found || err != nil || !httpguts.ValidHeaderFieldName(key) || !httpguts.ValidHeaderFieldValue(value) {
			bad = true
			continue
		}
		headers[key] = value
	}
	if bad {
		r.ignore(name, "has items that are not NAME=VALUE with the value percent-encoded; the others are sent")
	}
	return headers
}

// readTLS reads whom to trust and what to show.
func (r *reader) readTLS() {
	cfg := &tls.Config{MinVersion: tls.VersionTLS12}
	for _, name := range []string{forTraces + "CERTIFICATE", forAll + "CERTIFICATE"} {
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
	for _, prefix := range []string{forTraces, forAll} {
		cert, key := r.file(prefix+"CLIENT_CERTIFICATE"), r.file(prefix+"CLIENT_KEY")
		if cert == nil || key == nil {
			continue
		}
		if pair, err := tls.X509KeyPair(cert, key); err == nil {
			cfg.Certificates = []tls.Certificate{pair}
			break
		}
		r.ignore(prefix+"CLIENT_CERTIFICATE", "names a file that is no PEM certificate for the key of "+prefix+"CLIENT_KEY")
	}
	r.e.tls = cfg
}

// file reads the file that a variable names; nil if there is none.
func (r *reader) file(variable string) []byte {
	name := r.get(variable)
	if name == "" {
		return nil
	}
	if info, err := os.Stat(name); err == nil && info.Mode().IsRegular() { // a pipe could be waited for without end
		if data, err := os.ReadFile(name); err == nil {
			return data
		}
	}
	r.ignore(variable, "names a file that cannot be read")
	return nil
}

// batches reads how spans are collected for a batch.
func (r *reader) batches() {
	e := r.e
	e.queue = r.number(sdktrace.DefaultMaxQueueSize, 1, maxQueueSize, "OTEL_BSP_MAX_QUEUE_SIZE")
	e.batch = min(e.queue, r.number(sdktrace.DefaultMaxExportBatchSize, 1, maxQueueSize, "OTEL_BSP_MAX_EXPORT_BATCH_SIZE"))
	e.delay = r.millis(sdktrace.DefaultScheduleDelay*time.Millisecond, 1, "OTEL_BSP_SCHEDULE_DELAY")
	e.exportLimit = r.millis(sdktrace.DefaultExportTimeout*time.Millisecond, 1, "OTEL_BSP_EXPORT_TIMEOUT")
}

// spanLimits reads the limits that apply to spans as ours are, which have
// neither events nor links.
func (r *reader) spanLimits() {
	const most = 1 << 20
	r.e.maxLength = r.number(sdktrace.DefaultAttributeValueLengthLimit, 1, most, "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT", "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT")
	r.e.maxCount = r.number(sdktrace.DefaultAttributeCountLimit, 1, most, "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "OTEL_ATTRIBUTE_COUNT_LIMIT")
}

// resource reads what describes this program.
func (r *reader) resource() {
	const name = "OTEL_RESOURCE_ATTRIBUTES"
	bad := false
	for item := range strings.SplitSeq(r.get(name), ",") {
		if strings.TrimSpace(item) == "" {
			continue
		}
		key, text, found := strings.Cut(item, "=")
		key = strings.TrimSpace(key)
		value, err := url.PathUnescape(strings.TrimSpace(text))
		if !found || err != nil || key == "" {
			bad = true
			continue
		}
		r.e.resource = append(r.e.resource, attribute.String(key, value))
	}
	if bad {
		r.ignore(name, "has items that are not KEY=VALUE with the value percent-encoded; the others are used")
	}
	if service := r.get("OTEL_SERVICE_NAME"); service != "" {
		r.e.resource = append(r.e.resource, semconv.ServiceName(service))
	}
}

// ProxyFunc returns the proxy for a request, nil for none.
type ProxyFunc = func(*http.Request) (*url.URL, error)
