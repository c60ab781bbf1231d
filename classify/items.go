package classify

import (
	"bytes"
	"strings"

	"github.com/ksyun-tap/ksyun-tap/classify/internal/ascii"
	"github.com/ksyun-tap/ksyun-tap/classify/redact"
)

// The limits of Items.
const (
	MaxItemNames = 20  // maximum number of names
	maxItemName  = 96  // maximum length of each part of a name, in bytes
	maxRequested = 512 // maximum number of requested items that are compared
)

// Items are the items of a batch for which the response has no data. It
// contains no secrets.
type Items struct {
	Total  int // number of requested items; 0 if not known
	Failed int // number of items without data, or else of error messages
	// Names are the instance and the metric of the first MaxItemNames items without
	// data. The API does not say which items failed: they are those that were
	// requested and are not in the response.
	Names []string
}

// item is an item of a batch, as written.
type item struct{ instance, metric field }

// Items compares the items that a request for a batch asks for with those in the
// response to it. failed is Verdict.FailedItems. Both bodies must be complete and
// JSON for the items to be named.
func (c *Classifier) Items(requestBody []byte, r *Response, failed int) *Items {
	items := &Items{Failed: failed}
	requested := listOf(requestBody, "metrics")
	items.Total = len(requested)
	if len(requested) == 0 || len(requested) == maxRequested || r.Truncated {
		return items
	}
	p, d := decode(r.Body, r.Tail, r.Header, r.Truncated)
	defer d.release()
	if p.opaque || p.unread != UnreadNone {
		return items
	}
	p.narrow(&d)
	start := skipSpace(p.body, 0)
	if start == len(p.body) || p.body[start] != '{' {
		return items
	}
	present := make(map[[2]string]bool)
	for _, i := range listOf(p.body, "getmetricstatisticsbatchresults") {
		present[i.key()] = true
	}
	items.Failed = 0
	for _, i := range requested {
		if present[i.key()] {
			continue
		}
		items.Failed++
		if len(items.Names) < MaxItemNames {
			items.Names = append(items.Names, i.name())
		}
	}
	if items.Failed == 0 { // the messages are about something else
		return &Items{Total: items.Total, Failed: failed}
	}
	return items
}

// listOf returns the items of a top-level list of objects in a JSON body, or nil if
// the list is incomplete.
func listOf(body []byte, name string) []item {
	s := scanner{b: bytes.TrimPrefix(body, byteOrderMark)}
	if !s.enter('{') {
		return nil
	}
	var buf [maxKey]byte
	for key, ok := s.key(&buf); ok; key, ok = s.key(&buf) {
		if !ascii.EqualFold(key, name) || !s.enter('[') {
			s.skip()
			continue
		}
		var all []item
		for s.element() && len(all) < maxRequested {
			if i, ok := s.item(); ok {
				all = append(all, i)
			}
		}
		if len(all) < maxRequested && s.b[s.i-1] != ']' {
			return nil // cut: there may be more
		}
		return all
	}
	return nil
}

// item reads one object of a list.
func (s *scanner) item() (i item, ok bool) {
	if !s.enter('{') {
		s.skip()
		return item{}, false
	}
	var buf [maxKey]byte
	for key, more := s.key(&buf); more; key, more = s.key(&buf) {
		switch {
		case ascii.EqualFold(key, "instanceid"), ascii.EqualFold(key, "instance"):
			i.instance.offer(s.scalar())
		case ascii.EqualFold(key, "metricname"), ascii.EqualFold(key, "label"):
			i.metric.offer(s.scalar())
		default:
			s.skip()
		}
	}
	return i, i.instance.raw != nil || i.metric.raw != nil
}

// key returns the instance and the metric in plain text.
func (i *item) key() [2]string {
	return [2]string{i.instance.text(), i.metric.text()}
}

// name returns the item for output.
func (i *item) name() string {
	k := i.key()
	return itemName(k[0], k[1])
}

// itemName returns the name of an item for output.
func itemName(instance, metric string) string {
	return redact.Text(strings.TrimSpace(instance + " " + metric))
}

// text returns the field in plain text, cut to maxItemName.
func (f *field) text() string {
	var buf [maxItemName]byte
	return string(clean(buf[:0], *f))
}
