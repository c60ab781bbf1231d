package http1

// RefusalError is the reason why a request cannot be relayed. Its text may be sent
// to the program: it quotes nothing of the request.
type RefusalError struct {
	Status int // 400, 413, 431 or 501
	Reason string
}

func (r *RefusalError) Error() string { return r.Reason }

func malformed(reason string) *RefusalError { return &RefusalError{400, reason} }

// Errors of heads that are too large.
var (
	ErrBodyTooLarge = &RefusalError{413, "the body is too large to be signed again"}
	ErrHeadTooLarge = &RefusalError{431, "the head is too large"}
)

var (
	errBareLF        = malformed("a line of the head ends without CR")
	errNotHTTP       = malformed("this is not HTTP/1.1")
	errTLS           = malformed("this is TLS, sent to a port for plain HTTP")
	errRequestLine   = malformed("the request line is malformed")
	errMethod        = malformed("the method is not a token")
	errTarget        = malformed("the request target is malformed")
	errEscape        = malformed("the path has a percent sign without two hexadecimal digits, or an escaped NUL")
	errAboveRoot     = malformed("the path leads above the root")
	errVersion       = malformed("the HTTP version is neither 1.0 nor 1.1")
	errFold          = malformed("a field is folded over several lines")
	errFieldName     = malformed("a field name is not a token followed by a colon")
	errFieldValue    = malformed("a field value holds a control character")
	errLength        = malformed("Content-Length is not one decimal number without leading zeros")
	errLengths       = malformed("there is more than one Content-Length")
	errBothFramings  = malformed("there are both Content-Length and Transfer-Encoding")
	errCodingIn10    = malformed("Transfer-Encoding does not exist in HTTP/1.0")
	errCodings       = malformed("there is more than one Transfer-Encoding")
	errNoHost        = malformed("the Host field is missing")
	errHosts         = malformed("there is more than one Host field")
	errHost          = malformed("the Host field is malformed")
	errNoBody        = malformed("a CONNECT or TRACE has a body")
	errBodyIn10      = malformed("a GET, HEAD or DELETE of HTTP/1.0 has a body")
	errPreface       = malformed("the method PRI is reserved for HTTP/2")
	errRepeated      = malformed("a field that authorizes or conditions the request is there more than once")
	errConnection    = malformed("the Connection field is malformed")
	errEndToEnd      = malformed("the Connection field names a field that is not for one connection")
	errExpect        = malformed("Expect is not one 100-continue")
	errHalfOffer     = malformed("the offer to upgrade to HTTP/2 is not one each of Connection, Upgrade and HTTP2-Settings")
	errTab           = malformed("a tab beside a value that frames or routes the message")
	errMaxForwards   = malformed("Max-Forwards is not one decimal number")
	errStatusLine    = malformed("the status line is malformed")
	errLengthUnclear = malformed("the Content-Length of a response is not one number")
	errBlankName     = malformed("a blank before the colon of a field that frames the message")
	errCoding        = &RefusalError{501, "the transfer coding is not chunked"}
	errNoForward     = &RefusalError{501, "Max-Forwards forbids passing on the request"}
)

var (
	errChunkSize      = malformed("a chunk size is not a hexadecimal number")
	errChunkLarge     = malformed("a chunk size is too large")
	errChunkLine      = malformed("a chunk line is malformed")
	errChunkExtension = malformed("a chunk extension is malformed")
	errChunkEnd       = malformed("a chunk does not end where its size says")
	errTrailer        = malformed("a trailer field is malformed")
	errTrailerName    = malformed("a trailer field frames, routes or authorizes the message")
	errTrailerLarge   = malformed("the trailer fields are too large")
)
