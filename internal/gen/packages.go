package main

import (
	"go/doc"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strings"
)

// packages returns the first sentence of each package's comment, by directory.
func packages(root string) (map[string]string, error) {
	sentences := map[string]string{}
	return sentences, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "testdata" || path != root && strings.HasPrefix(d.Name(), ".")) {
			return filepath.SkipDir
		}
		if filepath.Ext(path) != ".go" {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.PackageClauseOnly|parser.ParseComments)
		if err != nil || file.Doc == nil {
			return err
		}
		dir, err := filepath.Rel(root, filepath.Dir(path))
		sentences[filepath.ToSlash(dir)] = sentence(new(doc.Package).Synopsis(file.Doc.Text()))
		return err
	})
}

// sentence returns the synopsis of a package without its name.
func sentence(synopsis string) string {
	words := strings.SplitN(synopsis, " ", 3)
	if len(words) < 3 || words[0] != "Package" && words[0] != "Command" {
		return synopsis
	}
	return strings.ToUpper(words[2][:1]) + words[2][1:]
}
