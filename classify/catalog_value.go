package classify

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/ksyun-tap/ksyun-tap/classify/internal/ascii"
)

// codeForm is the syntax of a code, which is used as a label value.
var codeForm = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._:/-]*$`)

// join joins words with commas, for errors.
func join[T ~string](words []T) string {
	s := make([]string, len(words))
	for i, w := range words {
		s[i] = string(w)
	}
	return strings.Join(s, ", ")
}

// scalar returns the text of a scalar, or "" for any other node.
func scalar(v *yaml.Node) string {
	if v.Kind != yaml.ScalarNode || v.Tag == "!!null" {
		return ""
	}
	return strings.TrimSpace(v.Value)
}

// text parses a text for users.
func (r *entryParser) text(key string, v *yaml.Node) (string, error) {
	s := scalar(v)
	switch {
	case s == "":
		return "", r.wrong(v.Line, key+" is empty or not text", "write a sentence, or leave "+key+" out")
	case len(s) > maxCatalogText:
		return "", r.wrong(v.Line, fmt.Sprintf("%s is longer than %d bytes", key, maxCatalogText), "shorten it")
	case strings.ContainsFunc(s, IsControl):
		return "", r.wrong(v.Line, key+" contains a control character", "write it in one line of plain text")
	}
	return s, nil
}

// texts parses a text for users in two languages, or one text for both.
func (r *entryParser) texts(key string, v *yaml.Node) (t Text, err error) {
	if v.Kind != yaml.MappingNode {
		t.English, err = r.text(key, v)
		return Text{t.English, t.English}, err
	}
	err = r.fields(v, key, []string{string(English), string(Chinese)}, func(language string, v *yaml.Node) (err error) {
		if Language(language) == Chinese {
			t.Chinese, err = r.text(key+"."+language, v)
		} else {
			t.English, err = r.text(key+"."+language, v)
		}
		return err
	})
	switch {
	case err != nil:
		return Text{}, err
	case t.English == "":
		return Text{}, r.wrong(v.Line, key+" has no text in English", "add en: ...")
	case t.Chinese == "":
		t.Chinese = t.English
	}
	return t, nil
}

// code parses a code.
func (r *entryParser) code(key string, v *yaml.Node) (string, error) {
	s := scalar(v)
	if len(s) > maxCatalogCode || !codeForm.MatchString(s) {
		return "", r.wrong(v.Line, fmt.Sprintf("%s %q is not a code", key, s), fmt.Sprintf("write up to %d letters, digits and . _ : / -, as the vendor sends it", maxCatalogCode))
	}
	return s, nil
}

// status parses an HTTP status or a class of statuses.
func (r *entryParser) status(_ string, v *yaml.Node) (int, error) {
	s := scalar(v)
	if class, ok := strings.CutSuffix(ascii.ToLower(s), "xx"); ok && (class == "3" || class == "4" || class == "5") {
		return int(class[0] - '0'), nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 101 || n > 999 {
		return 0, r.wrong(v.Line, fmt.Sprintf("%q is not an HTTP status", s), "write a number from 101 to 999, or 3xx, 4xx, 5xx")
	}
	return n, nil
}

// message parses a message pattern.
func (r *entryParser) message(key string, v *yaml.Node) (string, error) {
	s, err := r.text(key, v)
	if err != nil {
		return "", err
	}
	if strings.Trim(s, "* ") == "" {
		return "", r.wrong(v.Line, "a message pattern of stars matches everything", "add text of the message")
	}
	return s, nil
}

// tableRow parses a row number of the vendor's table.
func (r *entryParser) tableRow(v *yaml.Node) (int, error) {
	s := scalar(v)
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > maxTableRow {
		return 0, r.wrong(v.Line, fmt.Sprintf("row %q is not in the vendor's table", s), fmt.Sprintf("write 1 to %d, or leave row out", maxTableRow))
	}
	return n, nil
}

// flag parses true or false.
func (r *entryParser) flag(key string, v *yaml.Node) (bool, error) {
	s := scalar(v)
	if s != "true" && s != "false" {
		return false, r.wrong(v.Line, fmt.Sprintf("%s is %q", key, s), "write true or false")
	}
	return s == "true", nil
}

// oneOf parses one of a set of words.
func oneOf[T ~string](r *entryParser, key string, v *yaml.Node, words ...T) (T, error) {
	s := scalar(v)
	if !slices.Contains(words, T(s)) {
		return "", r.wrong(v.Line, fmt.Sprintf("unknown %s %q", key, s), "use one of "+join(words))
	}
	return T(s), nil
}

// each parses a list.
func each[T any](r *entryParser, key string, v *yaml.Node, read func(string, *yaml.Node) (T, error)) ([]T, error) {
	if v.Kind != yaml.SequenceNode || len(v.Content) == 0 {
		return nil, r.wrong(v.Line, key+" is not a list", "write [a, b], or leave "+key+" out")
	}
	values := make([]T, 0, len(v.Content))
	for _, item := range v.Content {
		value, err := read(key, item)
		if err != nil {
			return nil, err
		}
		values = append(values, value)
	}
	return values, nil
}
