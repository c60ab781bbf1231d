package lookup

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/ksyun-tap/ksyun-tap/exporter/record"
	"github.com/ksyun-tap/ksyun-tap/usererror"
)

// The limits of responses.
const (
	maxResponse  = 16 << 20 // bytes
	maxFound     = 100      // attempts that a source is asked for
	maxErrorText = 500      // bytes of the text of an error
)

// ParseURL parses the URL of a source, which may contain a user and a password. Its
// errors do not quote a password.
func ParseURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.RawQuery != "" || u.Fragment != "" {
		return nil, usererror.New(shown(text)+" is not the URL of a server", "write http://HOST:PORT or https://HOST, with a path if the server has a prefix")
	}
	return u, nil
}

// shown returns text in quotes for an error, unless it may contain a password.
func shown(text string) string {
	if strings.Contains(text, "@") {
		return "the value"
	}
	return strconv.Quote(text)
}

// withoutUser returns u as text without user and password.
func withoutUser(u *url.URL) string {
	public := *u
	public.User = nil
	return strings.TrimSuffix(public.String(), "/")
}

// Redacted returns the text of a URL without its password, and other texts as they are.
func Redacted(text string) string {
	if u, err := url.Parse(text); err == nil && u.User != nil {
		return u.Redacted()
	}
	return text
}

// endpoint is the API of a source.
type endpoint struct {
	base   *url.URL
	client *http.Client
}

// named returns the source of a kind at the URL base.
func named(kind string, base *url.URL, clients Clients, source func(endpoint) Source) (Named, error) {
	client, err := clients.For(base)
	return Named{kind + withoutUser(base), source(endpoint{base, client})}, err
}

// get requests a path of the API and decodes the JSON response.
func (e *endpoint) get(ctx context.Context, path string, query url.Values, into any) error {
	body, err := e.do(ctx, http.MethodGet, path, query, "", nil)
	if err != nil {
		return err
	}
	return decode(body, into)
}

// find requests a path of the API and returns the body of its response, or nil if there
// is nothing: then the status is 404, and isAPI reports that the body is the API's and
// not that of another server.
func (e *endpoint) find(ctx context.Context, path string, query url.Values, isAPI func(body []byte) bool) ([]byte, error) {
	body, err := e.do(ctx, http.MethodGet, path, query, "", nil)
	if isStatus(err, http.StatusNotFound) && isAPI(body) {
		return nil, nil
	}
	return body, err
}

// do sends a request and returns the body of its response. A status other than 200 is
// a statusError.
func (e *endpoint) do(ctx context.Context, method, path string, query url.Values, contentType string, body io.Reader) ([]byte, error) {
	status, data, err := e.exchange(ctx, method, path, query, contentType, body)
	if err == nil && status != http.StatusOK {
		err = statusError{status, errorText(data)}
	}
	return data, err
}

// exchange sends a request and returns the status and the body of its response.
func (e *endpoint) exchange(ctx context.Context, method, path string, query url.Values, contentType string, body io.Reader) (int, []byte, error) {
	u := e.base.JoinPath(path)
	u.RawQuery = query.Encode()
	req, err := http.NewRequestWithContext(ctx, method, u.String(), body)
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Accept", "application/json")
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	res, err := e.client.Do(req)
	if err != nil {
		return 0, nil, reason(ctx, err)
	}
	defer res.Body.Close()
	data, err := io.ReadAll(io.LimitReader(res.Body, maxResponse+1))
	switch {
	case err != nil:
		return 0, nil, reason(ctx, err)
	case len(data) > maxResponse:
		return 0, nil, fmt.Errorf("the response is larger than %d MiB", maxResponse>>20)
	}
	return res.StatusCode, data, nil
}

// reason returns err without the URL, which is in the name of the source.
func reason(ctx context.Context, err error) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return errors.New("timeout")
	}
	if of, ok := errors.AsType[*url.Error](err); ok {
		return of.Err
	}
	return err
}

// errNotExpected is returned for a response with another content than the API's.
var errNotExpected = errors.New("the response is not the expected JSON; is this the URL of the API?")

// decode decodes a JSON response.
func decode(body []byte, into any) error {
	if err := json.Unmarshal(body, into); err != nil {
		return errNotExpected
	}
	return nil
}

// statusError is a response with another status than 200.
type statusError struct {
	status int
	text   string // of the response, safe to print
}

func (e statusError) Error() string {
	text := fmt.Sprintf("HTTP status %d %s", e.status, http.StatusText(e.status))
	if e.text != "" && e.status != http.StatusUnauthorized && e.status != http.StatusForbidden {
		text += ": " + e.text
	}
	return text
}

// isStatus reports whether err is a response with the status.
func isStatus(err error, status int) bool {
	var e statusError
	return errors.As(err, &e) && e.status == status
}

// errorText returns the text of an error in the forms of all sources, cut to one line.
func errorText(body []byte) string {
	var known struct {
		Message string          `json:"message"`
		Error   json.RawMessage `json:"error"` // text or an object
		Errors  []struct {
			Msg string `json:"msg"`
		} `json:"errors"`
	}
	text := string(body)
	if json.Unmarshal(body, &known) == nil {
		var plain string
		var object struct {
			Reason  string `json:"reason"`
			Message string `json:"message"`
		}
		_ = json.Unmarshal(known.Error, &plain)
		_ = json.Unmarshal(known.Error, &object)
		for _, s := range []string{known.Message, plain, object.Reason, object.Message} {
			if s != "" {
				text = s
				break
			}
		}
		if len(known.Errors) > 0 {
			text = known.Errors[0].Msg
		}
	} else if strings.HasPrefix(strings.TrimSpace(text), "<") {
		return "" // a page
	}
	return record.Escape(record.Truncate(text, maxErrorText))
}
