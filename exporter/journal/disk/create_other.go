//go:build !unix

package disk

import "os"

// checkCreate reports whether dir exists.
func checkCreate(dir string) error {
	_, err := os.Stat(dir)
	return err
}
