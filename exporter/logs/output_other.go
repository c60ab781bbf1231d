//go:build !unix

package logs

import (
	"fmt"
	"os"
	"path/filepath"
)

// checkCreate returns an error if a file cannot be created at path, as far as
// this can be checked.
func checkCreate(path string) error {
	if _, err := os.Stat(filepath.Dir(path)); err != nil {
		return fmt.Errorf("open log: %w", err)
	}
	return nil
}
