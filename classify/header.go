package classify

import (
	"iter"
	"strings"
)

// HeaderMap is a Header with the fields of a map such as net/http.Header.
type HeaderMap map[string][]string

var _ Header = HeaderMap(nil)

// Get implements Header. It is faster if name has the case of the map's key.
func (h HeaderMap) Get(name string) []byte {
	values, ok := h[name]
	if !ok {
		for key, v := range h {
			if strings.EqualFold(key, name) {
				values = v
				break
			}
		}
	}
	if len(values) == 0 {
		return nil
	}
	return []byte(values[0])
}

// Fields implements Header. The order of names is random.
func (h HeaderMap) Fields() iter.Seq2[[]byte, []byte] {
	return func(yield func(name, value []byte) bool) {
		for name, values := range h {
			for _, value := range values {
				if !yield([]byte(name), []byte(value)) {
					return
				}
			}
		}
	}
}
