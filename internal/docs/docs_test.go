// Package docs_test checks the documentation: its links, its words, and that the
// two READMEs have the same structure.
package docs_test

import (
	"bytes"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ksyun-tap/ksyun-tap/internal/testfile"
)

const root = "../.."

// page is what is compared of a Markdown page.
type page struct {
	outline []string // headings, table rows, list items, code and links, in order
	anchors []string
	links   []string
}

var (
	heading   = regexp.MustCompile(`^(#+) (.*)`)
	link      = regexp.MustCompile(`!?\[[^]]*\]\(([^)\s]+)\)`)
	code      = regexp.MustCompile("`[^`]+`")
	listItem  = regexp.MustCompile(`^\s*[-*] `)
	codeFence = regexp.MustCompile("^\\s*```")
	comment   = regexp.MustCompile(`\s+#\s.*`)
)

func read(text string) page {
	var p page
	var block []string // the code block that line is in; nil outside
	for line := range strings.SplitSeq(text, "\n") {
		switch {
		case codeFence.MatchString(line):
			if block == nil {
				block = []string{strings.TrimSpace(line)}
				continue
			}
			p.outline = append(p.outline, strings.Join(block, "\n"))
			block = nil
			continue
		case block != nil:
			// Comments are translated, commands are not.
			block = append(block, comment.ReplaceAllString(line, ""))
			continue
		}
		if h := heading.FindStringSubmatch(line); h != nil {
			p.outline = append(p.outline, h[1])
			p.anchors = append(p.anchors, anchor(h[2]))
		}
		if strings.HasPrefix(line, "|") {
			p.outline = append(p.outline, fmt.Sprintf("row of %d cells", strings.Count(line, "|")-1))
		}
		if listItem.MatchString(line) {
			p.outline = append(p.outline, "item")
		}
		for _, l := range link.FindAllStringSubmatch(code.ReplaceAllString(line, ""), -1) {
			p.links = append(p.links, l[1])
		}
	}
	return p
}

// anchor is the fragment that GitHub gives a heading.
func anchor(title string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
			return unicode.ToLower(r)
		}
		return -1
	}, link.ReplaceAllString(title, ""))
}

// codeSpans are the names, flags and commands that a page mentions.
func codeSpans(text string) []string {
	var all []string
	fenced := false
	for line := range strings.SplitSeq(text, "\n") {
		if codeFence.MatchString(line) {
			fenced = !fenced
		} else if !fenced {
			all = append(all, code.FindAllString(line, -1)...)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// TestReadmesAgree compares the structure of the two READMEs, so that a change
// to one alone fails.
func TestReadmesAgree(t *testing.T) {
	english, chinese := string(readFile(t, "README.md")), string(readFile(t, "README.zh-CN.md"))
	for _, d := range differences(english, chinese) {
		t.Error(d)
	}
}

// differences returns what one README has and the other does not.
func differences(english, chinese string) (all []string) {
	compare := func(what string, en, zh []string) {
		for i := range max(len(en), len(zh)) {
			a, b := "nothing", "nothing"
			if i < len(en) {
				a = en[i]
			}
			if i < len(zh) {
				b = zh[i]
			}
			if a != b {
				all = append(all, fmt.Sprintf("%s %d: README.md has %q, README.zh-CN.md has %q", what, i+1, a, b))
				return // what follows is shifted
			}
		}
	}
	en, zh := read(english), read(chinese)
	compare("part", en.outline, zh.outline)
	// A translation may turn a sentence around, so links have no order. Each
	// page links to the other, and not to itself.
	links := func(p page, other string) []string {
		l := slices.DeleteFunc(slices.Clone(p.links), func(l string) bool { return l == other })
		slices.Sort(l)
		return l
	}
	compare("link", links(en, "README.zh-CN.md"), links(zh, "README.md"))
	compare("code", codeSpans(english), codeSpans(chinese))
	return all
}

// TestDifferencesAreFound changes one README alone, in every part that is
// compared.
func TestDifferencesAreFound(t *testing.T) {
	const en = "# T\n\nText `--flag` [a](b.md).\n\n## S\n\n```sh\nrun it   # comment\n```\n\n- item\n\n| a | b |\n|---|---|\n| 1 | 2 |\n"
	const zh = "# 题\n\n文字 [甲](b.md) `--flag`。\n\n## 节\n\n```sh\nrun it   # 注释\n```\n\n- 项\n\n| 甲 | 乙 |\n|---|---|\n| 1 | 2 |\n"
	require.Nil(t, differences(en, zh), "a translation differs")
	for _, change := range [][2]string{
		{"## S\n", ""},                  // a heading goes
		{"## S", "### S"},               // or changes its level
		{"run it", "run that"},          // a command
		{"- item", "- item\n- another"}, // a list item more
		{"| 1 | 2 |\n", ""},             // a table row less
		{"b.md", "c.md"},                // a link
		{"--flag", "--other"},           // a flag in the text
	} {
		changed := strings.Replace(en, change[0], change[1], 1)
		if changed == en || differences(changed, zh) == nil {
			t.Errorf("%q for %q: no difference is found", change[1], change[0])
		}
	}
}

// TestLinks checks that each relative link of each page leads to a file of the
// repository and, where it names one, to a heading in it.
func TestLinks(t *testing.T) {
	pages := map[string]page{}
	for name, text := range readPages(t, "*.md", "docs/*.md", "docs/*/*.md") {
		pages[name] = read(text)
	}
	for name, p := range pages {
		for _, to := range p.links {
			if strings.Contains(to, "://") {
				continue
			}
			target, fragment, _ := strings.Cut(to, "#")
			file := name
			if target != "" {
				file = path.Join(path.Dir(name), target)
				if _, err := os.Stat(filepath.Join(root, file)); err != nil {
					t.Errorf("%s: the link %s leads to no file", name, to)
					continue
				}
			}
			if fragment != "" && !slices.Contains(pages[file].anchors, fragment) {
				t.Errorf("%s: the link %s leads to no heading of %s", name, to, file)
			}
		}
	}
}

// avoided are words for which there are plainer ones: fix, again, close, report,
// response, use.
var avoided = regexp.MustCompile(`(?i)\b(mend(s|ed|ing)?|anew|farewells?|speaks for|tells|heed(s|ed)?|(an|its|no|every|partial|masked|successful) answers?)\b`)

// avoidedParts are the parts that the words of avoided have in common, in lower case.
// Few lines have one, and to look for them takes a tenth of the time.
var avoidedParts = []string{"mend", "anew", "farewell", "speaks for", "tells", "heed", "answer"}

// findAvoided returns the first word of a line that avoided matches, or "".
func findAvoided(line string) string {
	lower := strings.ToLower(line)
	for _, part := range avoidedParts {
		if strings.Contains(lower, part) {
			return avoided.FindString(line)
		}
	}
	return ""
}

// TestPlainWords checks that neither pages nor code use the words of avoided.
func TestPlainWords(t *testing.T) {
	texts := readPages(t, "README*.md", "docs/*.md", "docs/*/*.md")
	delete(texts, "docs/glossary.md")
	maps.Copy(texts, readCode(t))
	for name, text := range texts {
		for i, line := range strings.Split(text, "\n") {
			if word := findAvoided(line); word != "" {
				t.Errorf("%s:%d: %q: use a plainer word", name, i+1, word)
			}
		}
	}
}

// readCode returns the texts of all Go files but this one, by their names.
func readCode(t *testing.T) map[string]string {
	t.Helper()
	texts := map[string]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.Name() == "testdata" || d.Name() == ".bin" || d.Name() == "docs_test.go" {
			if d.IsDir() {
				return filepath.SkipDir
			}
			return nil
		}
		if filepath.Ext(path) != ".go" {
			return nil
		}
		text, err := os.ReadFile(path)
		texts[path] = string(text)
		return err
	})
	require.NoError(t, err)
	return texts
}

// TestAvoidedWordsAreFound checks that words are found in any case, but not as
// parts of others.
func TestAvoidedWordsAreFound(t *testing.T) {
	for _, line := range []string{"Mend that.", "it is mended", "signs calls anew", "TLS's farewell", "the row that speaks for it", "tells which", "There was no answer."} {
		assert.NotEmpty(t, findAvoided(line), "not found in %q", line)
	}
	for _, line := range []string{"recommended", "an amendment", "a new one", "tell the tap", "foretells", "it answers"} {
		word := findAvoided(line)
		assert.Empty(t, word, "%q is found in %q", word, line)
	}
}

// readPages returns the texts of the files that the patterns match, by their
// names from the root.
func readPages(t *testing.T, patterns ...string) map[string]string {
	t.Helper()
	pages := map[string]string{}
	for _, pattern := range patterns {
		files, err := filepath.Glob(filepath.Join(root, pattern))
		require.NoError(t, err)
		for _, f := range files {
			name, err := filepath.Rel(root, f)
			require.NoError(t, err)
			name = filepath.ToSlash(name)
			pages[name] = string(readFile(t, name))
		}
	}
	require.GreaterOrEqual(t, len(pages), 20, "only %d pages are found", len(pages))
	return pages
}

func readFile(t *testing.T, name string) []byte {
	t.Helper()
	text := testfile.Read(t, root, name)
	return bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n"))
}
