//go:build !unix

package relay

// Without a way to look at a socket, a dead one is noticed on use.
const canPeek = false

func peekFD(uintptr) sight { return sightNothing }

func hasError(uintptr) bool { return false }
