// Command licences checks that the licences of everything linked into ksyun-tap
// permit it, and prints those that every archive, package and image must include.
// It is run at the root of the tree and covers all released platforms.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/google/licensecheck"
)

const (
	program = "./cmd/ksyun-tap"
	// minCovered is the percentage of a licence file that must be recognised as
	// licence text. The rest is names of people.
	minCovered = 75
)

// platforms lists the operating systems of released binaries (GOOS). The
// architecture makes no difference.
var platforms = []string{"linux", "darwin", "windows"}

// allowed lists the SPDX names of licences whose only condition is that their
// text is included.
var allowed = []string{"Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MIT", "MIT-0"}

// licenceFile matches the names of files with licences and their notices.
var licenceFile = regexp.MustCompile(`(?i)^(licen[cs]e|copying|notice)([.-].*)?$`)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: licences ROOT")
		os.Exit(2)
	}
	err := os.Chdir(os.Args[1])
	if err == nil {
		err = run(context.Background(), os.Stdout)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "licences:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer) error {
	linked, err := linked(ctx)
	if err != nil {
		return err
	}
	var texts []string // without duplicates, in the order of their first module
	heads := map[string]string{}
	var wrong []error
	for _, m := range linked {
		files, err := m.licences()
		if err != nil {
			wrong = append(wrong, err)
			continue
		}
		for _, f := range files {
			if heads[f.text] == "" {
				texts = append(texts, f.text)
			}
			heads[f.text] += fmt.Sprintf("==== %s %s: %s (%s)\n", m.Path, m.Version, f.name, f.licence)
		}
	}
	if err := errors.Join(wrong...); err != nil {
		return err
	}
	for _, text := range texts {
		if _, err := fmt.Fprintf(out, "%s\n%s\n\n", heads[text], strings.TrimSpace(text)); err != nil {
			return err
		}
	}
	return nil
}

// module is a Go module, or Go itself, of which packages are linked.
type module struct {
	Path, Version, Dir string
	packages           map[string]bool // directories of the linked packages
}

// linked returns the modules that are linked on any platform, ordered by path.
func linked(ctx context.Context) ([]*module, error) {
	byPath := map[string]*module{}
	for _, goos := range platforms {
		cmd := exec.CommandContext(ctx, "go", "list", "-deps", "-json=Dir,Standard,Module", program)
		cmd.Env = append(os.Environ(), "GOOS="+goos, "CGO_ENABLED=0")
		cmd.Stderr = os.Stderr
		out, err := cmd.Output()
		if err != nil {
			return nil, fmt.Errorf("list linked packages for %s: %w", goos, err)
		}
		for d := json.NewDecoder(bytes.NewReader(out)); ; {
			var p struct {
				Dir      string
				Standard bool
				Module   *struct {
					Path, Version, Dir string
					Main               bool
				}
			}
			err := d.Decode(&p)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return nil, fmt.Errorf("read linked packages for %s: %w", goos, err)
			}
			switch {
			case p.Standard && byPath["Go"] == nil:
				m, err := goItself(ctx)
				if err != nil {
					return nil, err
				}
				byPath["Go"] = m
			case p.Standard, p.Module == nil, p.Module.Main:
			default:
				m := byPath[p.Module.Path]
				if m == nil {
					m = &module{Path: p.Module.Path, Version: p.Module.Version, Dir: p.Module.Dir, packages: map[string]bool{}}
					byPath[m.Path] = m
				}
				m.packages[p.Dir] = true
			}
		}
	}
	all := make([]*module, 0, len(byPath))
	for _, m := range byPath {
		all = append(all, m)
	}
	slices.SortFunc(all, func(a, b *module) int { return strings.Compare(a.Path, b.Path) })
	return all, nil
}

func goItself(ctx context.Context) (*module, error) {
	out, err := exec.CommandContext(ctx, "go", "env", "GOROOT", "GOVERSION").Output()
	if err != nil {
		return nil, fmt.Errorf("find Go's own licence: %w", err)
	}
	root, version, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	return &module{Path: "Go", Version: version, Dir: root, packages: map[string]bool{root: true}}, nil
}

// file is a licence or notice.
type file struct {
	name, licence, text string
}

// licences returns the files that govern the linked packages: those in their
// directories and in all parent directories within the module.
func (m *module) licences() ([]file, error) {
	dirs := map[string]bool{}
	for p := range m.packages {
		for dir := p; ; dir = filepath.Dir(dir) {
			dirs[dir] = true
			if dir == m.Dir || dir == filepath.Dir(dir) {
				break
			}
		}
	}
	var files []file
	var wrong []error
	granted := false
	for dir := range dirs {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			if !e.Type().IsRegular() || !licenceFile.MatchString(e.Name()) {
				continue
			}
			f, err := m.read(filepath.Join(dir, e.Name()))
			if err != nil {
				wrong = append(wrong, err)
				continue
			}
			granted = granted || (dir == m.Dir && f.licence != notice)
			files = append(files, f)
		}
	}
	if !granted && len(wrong) == 0 {
		wrong = append(wrong, fmt.Errorf("%s %s has no licence at its root: it must not be linked", m.Path, m.Version))
	}
	slices.SortFunc(files, func(a, b file) int { return strings.Compare(a.name, b.name) })
	return files, errors.Join(wrong...)
}

// notice stands for a file without a licence that must be included.
const notice = "notice"

// read reads a file and recognises its licence. A licence that is not allowed or
// not recognised is an error.
func (m *module) read(path string) (file, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return file{}, err
	}
	name, err := filepath.Rel(m.Dir, path)
	if err != nil {
		return file{}, err
	}
	f := file{name: filepath.ToSlash(name), licence: notice, text: string(text)}
	if strings.HasPrefix(strings.ToLower(filepath.Base(path)), "notice") {
		return f, nil
	}
	found := licensecheck.Scan(text)
	var ids []string
	for _, match := range found.Match {
		if match.IsURL {
			continue
		}
		if !slices.Contains(allowed, match.ID) {
			return file{}, fmt.Errorf("%s %s: %s is %s, which is not one of %s", m.Path, m.Version, f.name, match.ID, strings.Join(allowed, ", "))
		}
		if !slices.Contains(ids, match.ID) {
			ids = append(ids, match.ID)
		}
	}
	if len(ids) == 0 || found.Percent < minCovered {
		return file{}, fmt.Errorf("%s %s: %s is not a known licence (%.0f %% of its text is); read it, and replace the module if it has more conditions than %s",
			m.Path, m.Version, f.name, found.Percent, strings.Join(allowed, ", "))
	}
	f.licence = strings.Join(ids, ", ")
	return f, nil
}
