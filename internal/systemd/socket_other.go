//go:build !unix

package systemd

// isSocket is for systems where no service manager passes sockets.
func isSocket(int) bool { return false }
