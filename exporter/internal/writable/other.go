//go:build !unix

// Package writable reports whether files can be created.
package writable

import "os"

// Check returns an error if there is no dir.
func Check(dir string) error {
	_, err := os.Stat(dir)
	return err
}
