//go:build unix

package logs

import (
	"fmt"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// checkCreate returns an error if a file cannot be created at path.
func checkCreate(path string) error {
	if err := unix.Access(filepath.Dir(path), unix.W_OK|unix.X_OK); err != nil {
		return fmt.Errorf("open log: create %s: %w", path, err)
	}
	return nil
}
