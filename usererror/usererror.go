// Package usererror defines the form of errors that the user can fix: what is
// wrong, where, and what to do.
//
// As text on one line, for logs and responses:
//
//	tap.yaml:3: tap.inspect-size: "64 bananas" is not a size: write 1KiB to 16MiB, such as 64KiB
//
// As Print writes it, for a terminal:
//
//	ksyun-tap: tap.yaml:3: tap.inspect-size: "64 bananas" is not a size
//	  hint: write 1KiB to 16MiB, such as 64KiB
package usererror

import (
	"errors"
	"fmt"
	"io"
	"strings"
)

// Error is an error that the user can fix.
type Error struct {
	Where string // a flag, a variable, a file or FILE:LINE; "" if the text says it
	What  string
	Hint  string // what to do, as a command and without a full stop; "" for none
	Err   error  // the cause, whose text is part of What; may be nil
}

// New returns an error whose place is unknown; see At.
func New(what, hint string) *Error { return &Error{What: what, Hint: hint} }

// Wrap returns err with a hint.
func Wrap(err error, hint string) *Error { return &Error{What: err.Error(), Hint: hint, Err: err} }

// At returns err with the place where it occurred. If err is an *Error, the place
// comes before the one that it has. At returns nil if err is nil.
func At(where string, err error) error {
	if err == nil {
		return nil
	}
	e, ok := err.(*Error) //nolint:errorlint // a wrapped one keeps the text around it
	if !ok {
		hint := Hint(err)
		return &Error{Where: where, What: headline(err.Error(), hint), Hint: hint, Err: err}
	}
	at := *e
	at.Where = where
	if e.Where != "" {
		at.Where += ": " + e.Where
	}
	return &at
}

// headline returns text without the hint at its end.
func headline(text, hint string) string {
	if hint == "" {
		return text
	}
	return strings.TrimSuffix(text, ": "+hint)
}

// Error returns all parts on one line.
func (e *Error) Error() string {
	text := e.What
	if e.Where != "" {
		text = e.Where + ": " + text
	}
	if e.Hint != "" {
		text += ": " + e.Hint
	}
	return text
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Hint returns the hint of the first *Error in err's tree that has one.
func Hint(err error) string {
	for e := (*Error)(nil); errors.As(err, &e); err = e.Err {
		if e.Hint != "" {
			return e.Hint
		}
	}
	return ""
}

// Print writes err after "NAME: ", with its hint on a line of its own. The parts of
// a joined error are written one after another.
func Print(w io.Writer, name string, err error) {
	for _, e := range parts(err) {
		hint := Hint(e)
		fmt.Fprintf(w, "%s: %s\n", name, headline(e.Error(), hint))
		if hint != "" {
			fmt.Fprintf(w, "  hint: %s\n", hint)
		}
	}
}

// parts returns the errors that err joins, or err.
func parts(err error) []error {
	switch e := err.(type) { //nolint:errorlint // only errors that add no text are unwrapped
	case interface{ Unwrap() []error }:
		var all []error
		var texts []string
		for _, one := range e.Unwrap() {
			all = append(all, parts(one)...)
			texts = append(texts, one.Error())
		}
		if strings.Join(texts, "\n") == err.Error() {
			return all
		}
	case interface{ Unwrap() error }:
		if inner := e.Unwrap(); inner != nil && inner.Error() == err.Error() {
			return parts(inner)
		}
	}
	return []error{err}
}

// Ignored is an environment variable that is ignored, in whole or in part.
type Ignored struct {
	Variable string
	Reason   string // never quotes the value, which may be a secret
}

// String returns both on one line.
func (i Ignored) String() string { return i.Variable + ": " + i.Reason }
