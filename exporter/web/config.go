package web

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/prometheus/exporter-toolkit/web"
)

// grammar is where the web configuration file is described.
const grammar = "https://github.com/prometheus/exporter-toolkit/blob/master/docs/web-configuration.md"

// CheckConfig checks a web configuration file and the files it names; "" is no
// file and a good one. The error is one line, which quotes no value of the file:
// that may be a password.
func CheckConfig(file string) error {
	err := web.Validate(file)
	var noFile *fs.PathError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &noFile):
		return fmt.Errorf("web configuration file %s: %w", file, noFile.Err)
	}
	return fmt.Errorf("web configuration file %s: %s; see its grammar, %s", file, fold(err.Error()), grammar)
}

// fold makes one line of an error of the YAML library, which lists one problem
// per line under a heading, and takes the quoted values out.
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
