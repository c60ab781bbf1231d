// Command gen writes the files of the tree that are generated from the code: the reference
// pages, rules and dashboards, and parts of deploy. Its argument is the root of
// the tree.
package main

import (
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: gen ROOT")
		os.Exit(2)
	}
	for _, generate := range []func(root string) error{reference, monitoring, deployment} {
		if err := generate(os.Args[1]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
}

func write(path string, text []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil { //nolint:gosec // part of a source tree
		return err
	}
	return os.WriteFile(path, text, 0o644) //nolint:gosec // likewise
}
