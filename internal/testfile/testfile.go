// Package testfile reads and writes files in tests. A failure ends the test.
package testfile

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// Read returns the content of the file whose path is the joined elements.
func Read(t testing.TB, elem ...string) []byte {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(elem...))
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// Write writes a file, and gives it exactly that mode, whatever the umask is.
func Write[T string | []byte](t testing.TB, name string, content T, mode fs.FileMode) {
	t.Helper()
	if err := os.WriteFile(name, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(name, mode); err != nil {
		t.Fatal(err)
	}
}
