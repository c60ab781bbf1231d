package cloudmonitor

import (
	"encoding/xml"
	"net/http"
	"strconv"
	"strings"
)

// Error is an error with which the gateway can respond.
type Error struct {
	Status  int
	Code    string
	Type    string // "sender" or "receiver"; "" means by status
	Message string
}

func newError(status int, code, message string) *Error {
	return &Error{Status: status, Code: code, Message: message}
}

// kind returns the error's type in the vendor's spelling.
func (e *Error) kind() string {
	switch {
	case e.Type != "":
		return e.Type
	case e.Status >= http.StatusInternalServerError:
		return "receiver"
	}
	return "sender"
}

// ownErrors returns errors of the gateway that no request causes in the simulator.
func ownErrors() []Error {
	return []Error{
		{Status: 409, Code: "LimitExceeded", Message: "Request was rejected because the request speed of this openAPI is beyond the current flow control limit."},
		{Status: 500, Code: "ServiceTimeout", Message: "Internal Service is unavailable because of time out."},
		{Status: 500, Code: "ServiceUnavailable", Message: "OpenAPI or Service is unavailable"},
	}
}

// writeError writes an error in the format that the directive names, or in the
// vendor's format for the caller's Accept.
func (s *Server) writeError(w http.ResponseWriter, x *exchange, e *Error) {
	shape := x.do.Shape
	if shape == "" {
		shape = "monitor"
		if !x.wantsJSON() {
			shape = "xml"
		}
	}
	status := e.Status
	if x.do.Status != 0 {
		status = x.do.Status
	}
	contentType, body := e.body(shape, x.id)
	if shape == "header" {
		w.Header().Set("X-Ksc-Errortype", e.Code)
	}
	s.write(w, x, status, contentType, body)
}

// Shapes returns the names of the vendor's error formats.
func Shapes() []string {
	return []string{
		"monitor", "gateway", "no-type", "xml", "xml-lower", "xml-unclosed", "ssl", "legacy", "ec2",
		"flat", "numeric", "string", "html", "empty", "header",
	}
}

// body returns an error in one of the formats that the vendor's services produce
// or its SDKs parse. See docs/design.md for the formats.
func (e *Error) body(shape, id string) (contentType string, body []byte) {
	type object = map[string]any
	lower, upper := e.kind(), title(e.kind())
	switch shape {
	case "gateway":
		return jsonType, marshalJSON(object{"RequestId": id, "Error": object{"Type": upper, "Code": e.Code, "Message": e.Message}})
	case "no-type":
		return jsonType, marshalJSON(object{"RequestId": id, "Error": object{"Code": e.Code, "Message": e.Message}})
	case "xml":
		return xmlType, e.xml("<ErrorResponse><RequestId>" + id + "</RequestId><Error><Type>" + upper + "</Type><Code>{code}</Code><Message>{message}</Message></Error></ErrorResponse>")
	case "xml-lower":
		return xmlType, e.xml("<ErrorResponse><RequestId>" + id + "</RequestId><Error><Type>" + upper + "</Type><code>{code}</code><Message>{message}</Message></Error></ErrorResponse>")
	case "xml-unclosed":
		return xmlType, e.xml("<ErrorResponse><RequestId>" + id + "</RequestId><Error><code>{code}</code><Message>{message}</Message></Error>")
	case "ssl":
		return xmlType, e.xml(xml.Header + "<response><Error><Code>{code}</Code><InnerCode>" + strings.ToLower(e.Code) + "</InnerCode><Message>{message}</Message></Error><RequestId>" + id + "</RequestId></response>")
	case "legacy":
		return xmlType, e.xml("<Response><RequestID>" + id + "</RequestID><Error><Type>" + map[string]string{"sender": "client", "receiver": "server"}[lower] + "</Type><Code>{code}</Code><Message>{message}</Message></Error></Response>")
	case "ec2":
		return xmlType, e.xml("<Response><Errors><Error><Code>{code}</Code><Message>{message}</Message></Error></Errors><RequestID>" + id + "</RequestID></Response>")
	case "flat":
		return jsonType, marshalJSON(object{"RequestId": id, "Code": e.Code, "Message": e.Message})
	case "numeric":
		return jsonType, marshalJSON(object{"Code": e.Status, "Message": e.Message, "RequestId": id, "Data": nil})
	case "string":
		return jsonType, marshalJSON(object{"RequestId": id, "Error": e.Message})
	case "html":
		text := strconv.Itoa(e.Status) + " " + http.StatusText(e.Status)
		return "text/html", []byte("<html>\n<head><title>" + text + "</title></head>\n<body>\n<center><h1>" + text + "</h1></center>\n</body>\n</html>\n")
	case "empty", "header":
		return "text/plain", nil
	}
	return jsonType, marshalJSON(object{"requestid": id, "error": object{"type": lower, "code": e.Code, "message": e.Message}})
}

const (
	jsonType = "application/json;charset=UTF-8"
	xmlType  = "text/xml;charset=UTF-8"
)

func (e *Error) xml(template string) []byte {
	return []byte(strings.NewReplacer("{code}", escapeXML(e.Code), "{message}", escapeXML(e.Message)).Replace(template))
}

func escapeXML(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s)) // a strings.Builder returns no error
	return b.String()
}

func title(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}
