package classify

import (
	"github.com/ksyun-tap/ksyun-tap/classify/internal/ascii"
	"github.com/ksyun-tap/ksyun-tap/classify/signature"
	"github.com/ksyun-tap/ksyun-tap/hostname"
)

// Classifier classifies requests and responses using a catalogue. It is safe for
// concurrent use.
type Classifier struct {
	catalog *Catalog
	words   *interner
	dryRun  *Entry // the entry for dry runs; nil if the catalogue has none

	// The documented actions, by lower-case name.
	actions map[string][]Action
}

// New returns a classifier that uses cat.
func New(cat *Catalog) *Classifier {
	c := &Classifier{catalog: cat, actions: make(map[string][]Action)}
	c.words = newInterner(c.examine)
	for _, e := range cat.entries {
		if e.DryRun {
			c.dryRun = e
			break
		}
	}
	for _, a := range actions {
		c.actions[ascii.ToLower(a.Name)] = append(c.actions[ascii.ToLower(a.Name)], a)
	}
	// Reserve room for documented names before any are received.
	for _, a := range actions {
		for _, s := range []string{a.Service, a.Name, a.Version} {
			c.words.get([]byte(s))
		}
	}
	return c
}

// examine returns what text is.
func (c *Classifier) examine(text string) word {
	w := word{text: text}
	var buf [hostname.MaxLength]byte
	w.isHost = string(hostname.AppendLower(buf[:0], []byte(text))) == text
	if w.isName = c.isOpenName([]byte(text)); w.isName {
		w.lower = ascii.ToLower(text)
		w.actions = c.actions[w.lower]
	}
	return w
}

// Catalog returns the catalogue that c uses.
func (c *Classifier) Catalog() *Catalog { return c.catalog }

// Signature inspects how a request is signed, of which e is available.
func (c *Classifier) Signature(r *Request, e signature.Extent) *signature.Result {
	s := signature.Request{Method: r.Method, Target: r.Target, Host: r.Host, Body: r.Body, Extent: e, ServiceOf: c.serviceOf}
	if r.Header != nil {
		s.Fields = r.Header.Fields()
	}
	return signature.Inspect(&s)
}
