//go:build !unix

package logs

import (
	"fmt"
	"os"
	"path/filepath"
)

// checkCreate returns an error if no file can be made at path, as far as that
// can be known.
func checkCreate(path string) error {
	if _, err := os.Stat(filepath.Dir(path)); err != nil {
		return fmt.Errorf("open log: %w", err)
	}
	return nil
}
