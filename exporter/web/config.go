package web

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/prometheus/exporter-toolkit/web"
)

// grammar is the URL of the documentation of the web configuration file.
const grammar = "https://github.com/prometheus/exporter-toolkit/blob/master/docs/web-configuration.md"

// CheckConfig checks a web configuration file and the files it refers to. It
// returns nil if file is "". The error is a single line and does not quote values
// of the file, which may be passwords.
func CheckConfig(file string) error {
	err := web.Validate(file)
	var noFile *fs.PathError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &noFile):
		return fmt.Errorf("web configuration file %s: %w", file, noFile.Err)
	}
	return fmt.Errorf("web configuration file %s: %s; the format is documented at %s", file, fold(err.Error()), grammar)
}

// fold joins an error of the YAML library, which has a heading and one problem
// per line, into one line and removes the quoted values.
func fold(s string) string {
	s = strings.TrimPrefix(s, "yaml: unmarshal errors:\n")
	s = strings.TrimPrefix(s, "yaml: ")
	var problems []string
	for line := range strings.Lines(s) {
		from, to := strings.IndexByte(line, '`'), strings.LastIndexByte(line, '`')
		if from < to {
			line = line[:from] + "..." + line[to+1:]
		}
		problems = append(problems, strings.TrimSpace(line))
	}
	return strings.Join(problems, ", ")
}
