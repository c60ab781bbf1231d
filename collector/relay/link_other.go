//go:build !unix

package relay

// Without a way to look at a socket, idle connections hold a small buffer, and
// a dead one is noticed on use.
const canPeek = false

func (l *link) readSocket(uintptr) bool { return true }

func (l *link) peekSocket(uintptr) {}

func peekFD(uintptr) sight { return sightNothing }

func hasError(uintptr) bool { return false }
