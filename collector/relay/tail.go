package relay

// tail keeps the last bytes of a body that did not fit the buffer of its
// beginning.
type tail struct {
	size int     // bytes to keep
	b    *buffer // nil until there are any; as much as size is free before them
}

// add adds what came next of the body. It reports false, and gives the tail up, if there
// is no memory for it.
func (t *tail) add(p []byte, bufs *buffers) bool {
	if t.size == 0 {
		return true
	}
	if t.b == nil {
		if t.b = bufs.getTail(); t.b == nil {
			t.size = 0
			return false
		}
		t.b.w = t.size
	}
	p = p[max(0, len(p)-t.size):]
	if len(p) > len(t.b.free()) {
		last := t.last()
		t.b.w = t.size + copy(t.b.b[t.size:], last[max(0, len(last)+len(p)-t.size):])
	}
	t.b.w += copy(t.b.free(), p)
	return true
}

// last returns the last size bytes that were added, or all if they are fewer: there is no
// room for more.
func (t *tail) last() []byte {
	return t.b.b[t.size:t.b.w]
}

// after returns the last size bytes of p and all that was added.
func (t *tail) after(p []byte) []byte {
	p = p[max(0, len(p)-t.size):]
	if t.b == nil {
		return p
	}
	missing := min(t.size-len(t.last()), len(p))
	start := t.size - missing
	copy(t.b.b[start:], p[len(p)-missing:])
	return t.b.b[start:t.b.w]
}

func (t *tail) release(bufs *buffers) {
	bufs.put(t.b)
	t.b = nil
}
