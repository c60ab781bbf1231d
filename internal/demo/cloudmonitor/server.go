package cloudmonitor

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"crypto/rand"
	"encoding/json"
	"io"
	"math"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
)

// maxBody is the maximum size of a request body that is read, in bytes.
const maxBody = 8 << 20

// Config configures a Server. With a zero Config, no credential is valid.
type Config struct {
	Credentials []Credential
	// Errors are additional errors that the error directive can name.
	Errors []Error
	// Limits makes the gateway refuse calls beyond the documented rates.
	Limits bool
	// Now is the gateway's clock. If nil, it is time.Now.
	Now func() time.Time
}

// Server simulates the gateway. It is safe for concurrent use.
type Server struct {
	now    func() time.Time
	errors map[string]Error
	limits bool

	credentials sync.Map // Credential by access key

	mu    sync.Mutex     // guards the fields below
	spent map[string]int // calls by key, action and minute
	since int64          // the minute that spent refers to
}

// New returns a Server.
func New(cfg Config) *Server {
	s := &Server{now: cfg.Now, errors: map[string]Error{}, limits: cfg.Limits, spent: map[string]int{}}
	if s.now == nil {
		s.now = time.Now
	}
	for _, c := range cfg.Credentials {
		s.SetCredential(c)
	}
	for _, e := range append(ownErrors(), cfg.Errors...) {
		s.errors[strings.ToLower(e.Code)] = e
	}
	return s
}

// SetCredential adds a credential, or replaces the one with the same access key, as
// when its policy is changed.
func (s *Server) SetCredential(c Credential) { s.credentials.Store(c.AccessKey, &c) }

// Revoke removes a credential.
func (s *Server) Revoke(accessKey string) { s.credentials.Delete(accessKey) }

// credential returns the credential with an access key.
func (s *Server) credential(accessKey string) (*Credential, bool) {
	c, ok := s.credentials.Load(accessKey)
	if !ok {
		return nil, false
	}
	return c.(*Credential), true //nolint:forcetypeassert // as stored
}

// exchange is a call that is being answered.
type exchange struct {
	*http.Request
	id     string
	body   []byte
	params url.Values // of query and form
	doc    map[string]any
	who    *Credential // set after the signature was verified
	do     Directive
}

// ServeHTTP answers one call.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := &exchange{Request: r, id: uuid.NewString()}
	var err error
	if x.body, err = io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody)); err != nil {
		s.writeError(w, x, newError(http.StatusBadRequest, "RequestTooLarge", "Request information is too large"))
		return
	}
	x.readParams()
	x.do = parseDirective(r.Header.Get(DirectiveField))
	if !s.disturb(w, x) {
		return
	}
	if e := s.refuse(x); e != nil {
		s.writeError(w, x, e)
		return
	}
	result, e := s.perform(x)
	if e != nil {
		s.writeError(w, x, e)
		return
	}
	s.writeResult(w, x, result)
}

// readParams decodes the parameters of query, form and JSON body.
func (x *exchange) readParams() {
	x.params = x.URL.Query()
	media, _, _ := mime.ParseMediaType(x.Header.Get("Content-Type"))
	switch {
	case media == "application/x-www-form-urlencoded":
		if form, err := url.ParseQuery(string(x.body)); err == nil {
			for k, v := range form {
				x.params[k] = append(x.params[k], v...)
			}
		}
	case len(x.body) > 0 && x.body[0] == '{':
		_ = json.Unmarshal(x.body, &x.doc) // invalid JSON has no parameters
	}
}

// param returns a parameter from the query, the form or the JSON body.
func (x *exchange) param(name string) string {
	if v := x.params.Get(name); v != "" {
		return v
	}
	switch v := x.doc[name].(type) {
	case string:
		return v
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	case bool:
		return strconv.FormatBool(v)
	}
	return x.Header.Get("X-" + name)
}

// refuse makes the gateway's checks in its order: signature, demanded error,
// action, policy, rate, dry run.
func (s *Server) refuse(x *exchange) *Error {
	var e *Error
	if x.who, e = s.authenticate(x.Request, x.body, x.params); e != nil {
		return e
	}
	if e := s.demanded(x); e != nil {
		return e
	}
	name, version := x.param("Action"), x.param("Version")
	a, ok := findAction(name, version)
	switch {
	case name == "" && version == "":
		return newError(http.StatusBadRequest, "MissingParameter", "The request is missing parameter")
	case !ok:
		return newError(http.StatusBadRequest, "InvalidActionOrVersion", "The action or version is not valid for this web service")
	}
	c := x.who
	if c.denied(name) {
		return newError(http.StatusForbidden, "InvalidAuthenticationCode",
			"lack of policy to [monitor:"+strings.ToLower(name)+"] the resources[]")
	}
	if s.limits && a.perMinute > 0 && s.spend(c.AccessKey+"/"+name) > a.perMinute {
		return newError(http.StatusConflict, "LimitExceeded",
			"Request was rejected because the request speed of this openAPI is beyond the current flow control limit.")
	}
	if strings.EqualFold(x.param("DryRun"), "true") {
		return newError(http.StatusPreconditionFailed, "DryRunOperation", "Request would have succeeded, but DryRun flag is set.")
	}
	return nil
}

// spend counts a call in this minute and returns the number of calls so far.
func (s *Server) spend(key string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if minute := s.now().Unix() / 60; minute != s.since {
		s.since = minute
		clear(s.spent)
	}
	s.spent[key]++
	return s.spent[key]
}

// wantsJSON reports whether the caller gets JSON. The gateway's default is XML.
func (x *exchange) wantsJSON() bool {
	return strings.Contains(x.Header.Get("Accept"), "application/json") || strings.EqualFold(x.params.Get("Format"), "json")
}

// writeResult writes a successful result.
func (s *Server) writeResult(w http.ResponseWriter, x *exchange, r result) {
	if x.wantsJSON() {
		s.write(w, x, http.StatusOK, "application/json", marshalJSON(r.json(x.id)))
		return
	}
	s.write(w, x, http.StatusOK, "text/xml;charset=UTF-8", r.xml(x.param("Action"), x.id))
}

// write writes a response with the call's request ID, in the content encoding that
// the directive asks for.
func (s *Server) write(w http.ResponseWriter, x *exchange, status int, contentType string, body []byte) {
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("X-KSC-REQUEST-ID", x.id)
	h.Set("Date", s.now().UTC().Format(http.TimeFormat))
	if coding := x.do.Encoding; coding != "" {
		body = compress(coding, body)
		h.Set("Content-Encoding", coding)
	}
	if x.do.Fault == "truncate" {
		h.Set("Content-Length", strconv.Itoa(len(body)))
		w.WriteHeader(status)
		_, _ = w.Write(body[:len(body)/2])
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

func compress(coding string, body []byte) []byte {
	var b bytes.Buffer
	var z io.WriteCloser
	switch coding {
	case "gzip":
		z = gzip.NewWriter(&b)
	case "deflate":
		z = zlib.NewWriter(&b)
	default:
		return body
	}
	_, _ = z.Write(body) // a bytes.Buffer returns no error
	_ = z.Close()
	return b.Bytes()
}

func marshalJSON(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic(err) // impossible for the types of this package
	}
	return bytes.TrimRight(b.Bytes(), "\n")
}

// wave returns a plausible value of a metric for an instance at a time: a daily
// curve with an offset that depends on the instance.
func wave(instance string, at time.Time) float64 {
	sum := 0
	for _, c := range []byte(instance) {
		sum += int(c)
	}
	day := float64(at.Unix()%86400) / 86400 * 2 * math.Pi
	return math.Round((35+float64(sum%30)+20*math.Sin(day)+3*math.Sin(9*day))*100) / 100
}

// token returns a random secret like those in success responses.
func token() string { return "tok-" + rand.Text() }
