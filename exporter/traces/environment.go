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
	Reason   string // never quotes the value, which may be a secret
}

// String returns the problem as one line.
func (p Problem) String() string { return p.Variable + ": " + p.Reason }

// Environment holds the settings for traces from the OTEL_* variables, read as
// OpenTelemetry specifies: surrounding spaces and the case of keywords are
// ignored, and an invalid value is treated as unset. Numbers are within bounds.
// The values that the SDK reads itself are overridden.
type Environment struct {
	// Problems lists the ignored variables in the order in which they were read.
	Problems []Problem

	otlp, console bool // the enabled exporters
	protocol      string
	endpoint      *url.URL // for HTTP
	target        string   // for gRPC
	insecure      bool     // no TLS to endpoint or target
	headers       map[string]string
	gzip          bool
	timeout       time.Duration
	tls           *tls.Config // nil for the default

	queue, batch       int
	delay, exportLimit time.Duration
	maxLength          int // maximum length of an attribute value in characters; negative for no limit
	maxCount           int // maximum number of attributes
	resource           []attribute.KeyValue
}

// The values of OTEL_EXPORTER_OTLP_PROTOCOL.
const (
	protocolGRPC = "grpc"
	protocolHTTP = "http/protobuf"
	protocolJSON = "http/json"
)

// Bounds of numbers. A waiting span takes a few kilobytes.
const (
	maxQueueSize = 100_000
	maxMillis    = 3_600_000
)

// The prefixes of variables for OTLP. Those for traces take precedence over those
// for all signals.
const (
	forTraces = "OTEL_EXPORTER_OTLP_TRACES_"
	forAll    = "OTEL_EXPORTER_OTLP_"
)

// ReadEnvironment reads the OTEL_* variables with getenv.
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

// get returns the value of a variable, or "" if it is unset or blank.
func (r *reader) get(name string) string { return strings.TrimSpace(r.getenv(name)) }

func (r *reader) ignore(name, reason string) {
	r.e.Problems = append(r.e.Problems, Problem{name, reason})
}

// boolean reads a boolean variable. Every value except true is false.
func (r *reader) boolean(name string) bool {
	v := strings.ToLower(r.get(name))
	if v != "" && v != "true" && v != "false" {
		r.ignore(name, "is neither true nor false; false is used")
	}
	return v == "true"
}

// choice returns the value of the first variable that is one of known, or the default.
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
		r.ignore(name, "is not one of "+strings.Join(known, ", "))
	}
	return fallback
}

// number returns the value of the first variable that is a number within bounds, or the default.
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
		r.ignore(name, "is not a number from "+strconv.Itoa(least)+" to "+strconv.Itoa(most))
	}
	return fallback
}

func (r *reader) millis(fallback time.Duration, least int, names ...string) time.Duration {
	n := r.number(int(fallback.Milliseconds()), least, maxMillis, names...)
	return time.Duration(n) * time.Millisecond
}

// exporters reads which exporters are enabled. Setting an endpoint enables OTLP.
// Otherwise OTLP is not the default, because it would connect to localhost for
// users who do not want traces.
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
		r.ignore(name, "names none together with other exporters")
	}
	if !e.otlp && !e.console && !none {
		e.otlp = r.get(forTraces+"ENDPOINT") != "" || r.get(forAll+"ENDPOINT") != ""
	}
}

// otlp reads the settings of the OTLP exporter.
func (r *reader) otlp() {
	e := r.e
	e.protocol = r.choice(protocolHTTP, []string{protocolGRPC, protocolHTTP, protocolJSON}, forTraces+"PROTOCOL", forAll+"PROTOCOL")
	if !r.findEndpoint() {
		e.otlp = false // the default address could belong to another service
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

// findEndpoint sets the endpoint. It returns false if every endpoint variable that is set is invalid.
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
	errNoURL     = errors.New("is not a URL such as http://HOST:4318; no spans are sent")
	errUserInURL = errors.New("contains a user or password, for which use " + forAll + "HEADERS; no spans are sent")
	errNoTarget  = errors.New("is not an address such as http://HOST:4317; no spans are sent")
)

// setURL sets the URL for HTTP. If base is true, the path for traces is appended.
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

// setTarget sets the target for gRPC.
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

// isInsecure reads the variables that apply to addresses without a scheme.
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

// readHeaders parses "name=value,name=value" with percent-encoded values.
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

// readTLS reads the trusted certificates and the client certificate.
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
		r.ignore(prefix+"CLIENT_CERTIFICATE", "names a file without a PEM certificate for the key in "+prefix+"CLIENT_KEY")
	}
	r.e.tls = cfg
}

// file returns the content of the file that a variable names, or nil if there is none.
func (r *reader) file(variable string) []byte {
	name := r.get(variable)
	if name == "" {
		return nil
	}
	if info, err := os.Stat(name); err == nil && info.Mode().IsRegular() { // reading a pipe could block forever
		if data, err := os.ReadFile(name); err == nil {
			return data
		}
	}
	r.ignore(variable, "names a file that cannot be read")
	return nil
}

// batches reads the settings of batches.
func (r *reader) batches() {
	e := r.e
	e.queue = r.number(sdktrace.DefaultMaxQueueSize, 1, maxQueueSize, "OTEL_BSP_MAX_QUEUE_SIZE")
	e.batch = min(e.queue, r.number(sdktrace.DefaultMaxExportBatchSize, 1, maxQueueSize, "OTEL_BSP_MAX_EXPORT_BATCH_SIZE"))
	e.delay = r.millis(sdktrace.DefaultScheduleDelay*time.Millisecond, 1, "OTEL_BSP_SCHEDULE_DELAY")
	e.exportLimit = r.millis(sdktrace.DefaultExportTimeout*time.Millisecond, 1, "OTEL_BSP_EXPORT_TIMEOUT")
}

// spanLimits reads the limits of attributes. The limits of events and links are
// not read.
func (r *reader) spanLimits() {
	const most = 1 << 20
	r.e.maxLength = r.number(sdktrace.DefaultAttributeValueLengthLimit, 1, most, "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT", "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT")
	r.e.maxCount = r.number(sdktrace.DefaultAttributeCountLimit, 1, most, "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "OTEL_ATTRIBUTE_COUNT_LIMIT")
}

// resource reads the resource attributes of this program.
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

// ProxyFunc returns the proxy for a request, or nil for a direct connection.
type ProxyFunc = func(*http.Request) (*url.URL, error)
