package cloudmonitor

import (
	"fmt"
	"net"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// DirectiveField is the request header field that says how the simulator is to
// respond. It is not signed.
const DirectiveField = "X-Simulate"

// Directive is the parsed value of a DirectiveField, such as
//
//	X-Simulate: error=LimitExceeded; shape=xml; delay=200ms
type Directive struct {
	Error    string        // error=CODE: respond with this error
	Shape    string        // shape=NAME: in this format (see Shapes)
	Status   int           // status=N: with this status; 200 for a masked error
	Partial  int           // partial=N: N items of the response failed
	Empty    bool          // empty=true: there are no data points
	Stale    time.Duration // stale=DURATION: there are no newer data points
	Total    int           // total=N: a list has N items
	Flat     string        // flat=CODE: a flat code and message beside the data
	Encoding string        // encoding=gzip|deflate: compress the response
	Delay    time.Duration // delay=DURATION: wait before responding
	Fault    string        // fault=reset|close|truncate|garbage|hang: break the transport
}

// options returns the fields by their names in the value, in order.
func (d *Directive) options() []option {
	return []option{
		{"error", &d.Error},
		{"shape", &d.Shape},
		{"status", &d.Status},
		{"partial", &d.Partial},
		{"empty", &d.Empty},
		{"stale", &d.Stale},
		{"total", &d.Total},
		{"flat", &d.Flat},
		{"encoding", &d.Encoding},
		{"delay", &d.Delay},
		{"fault", &d.Fault},
	}
}

type option struct {
	name  string
	value any // a pointer to the field
}

// String returns d as the value of the field.
func (d Directive) String() string {
	var parts []string
	for _, o := range d.options() {
		if v := reflect.ValueOf(o.value).Elem(); !v.IsZero() {
			parts = append(parts, fmt.Sprintf("%s=%v", o.name, v))
		}
	}
	return strings.Join(parts, "; ")
}

// parseDirective parses the value of the field. It ignores what it does not know.
func parseDirective(value string) Directive {
	var d Directive
	options := d.options()
	for part := range strings.SplitSeq(value, ";") {
		name, text, _ := strings.Cut(strings.TrimSpace(part), "=")
		i := slices.IndexFunc(options, func(o option) bool { return o.name == name })
		if i < 0 {
			continue
		}
		switch v := options[i].value.(type) {
		case *string:
			*v = text
		case *int:
			*v, _ = strconv.Atoi(text)
		case *bool:
			*v = text == "true"
		case *time.Duration:
			*v, _ = time.ParseDuration(text)
		}
	}
	return d
}

// demanded returns the error that the directive asks for. It returns one for an
// unknown code as well, as the vendor might introduce one.
func (s *Server) demanded(x *exchange) *Error {
	if x.do.Error == "" {
		return nil
	}
	if e, ok := s.errors[strings.ToLower(x.do.Error)]; ok {
		return &e
	}
	return newError(http.StatusBadRequest, x.do.Error, "an error of code "+x.do.Error)
}

// disturb delays the response or breaks the transport, as the directive says. It
// reports whether the call must still be answered.
func (s *Server) disturb(w http.ResponseWriter, x *exchange) bool {
	if x.do.Delay > 0 {
		t := time.NewTimer(x.do.Delay)
		defer t.Stop()
		select {
		case <-t.C:
		case <-x.Context().Done():
			panic(http.ErrAbortHandler)
		}
	}
	switch x.do.Fault {
	case "hang":
		<-x.Context().Done()
		panic(http.ErrAbortHandler)
	case "close", "reset", "garbage":
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		if tcp, ok := conn.(*net.TCPConn); ok && x.do.Fault == "reset" {
			_ = tcp.SetLinger(0) // makes Close send a reset
		}
		if x.do.Fault == "garbage" {
			_, _ = conn.Write([]byte("\x16\x03\x01 this is no HTTP\r\n\r\n"))
		}
		_ = conn.Close()
		return false
	}
	return true
}
