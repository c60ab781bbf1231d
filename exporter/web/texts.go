package web

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"

	"go.yaml.in/yaml/v3"

	"github.com/ksyun-tap/ksyun-tap/exporter/diagnosis"
)

// texts are the texts of the pages and of tickets, by key. Those with verbs such as %[1]s have
// arguments. If the first one is 1, the text of the key with ".one" is used, if there is
// one. They are read when the first one is needed.
var texts = sync.OnceValue(func() (all map[string]diagnosis.Text) {
	file, err := assets.ReadFile("assets/texts.yaml")
	if err == nil {
		err = yaml.Unmarshal(file, &all)
	}
	if err != nil {
		panic("assets/texts.yaml: " + err.Error()) // the file is embedded and tested
	}
	return all
})

// language is the language of a page or ticket.
type language diagnosis.Language

// text returns the text with a key. An unknown key is an error of the template.
func (l language) text(key string, args ...any) (string, error) {
	text, ok := texts()[key]
	if !ok {
		return "", fmt.Errorf("no text %q", key)
	}
	if len(args) == 0 {
		return text.In(diagnosis.Language(l)), nil
	}
	if fmt.Sprint(args[0]) == "1" {
		text = cmp.Or(texts()[key+".one"], text)
	}
	return fmt.Sprintf(text.In(diagnosis.Language(l)), args...), nil
}

// word returns the word for a value, such as a blame, or the value itself if there is
// none.
func (l language) word(kind string, value any) string {
	word := fmt.Sprint(value)
	if text, ok := texts()[kind+"."+word]; ok {
		return text.In(diagnosis.Language(l))
	}
	return word
}

// languageOf returns the language of a response: that of the parameter, the cookie
// or the field Accept-Language, or else English.
func languageOf(r *http.Request, given url.Values) diagnosis.Language {
	if l := prefLanguage.of(r, given); l != "" {
		return diagnosis.Language(l)
	}
	best, weight := diagnosis.English, 0.0
	for part := range strings.SplitSeq(r.Header.Get("Accept-Language"), ",") {
		tag, params, _ := strings.Cut(part, ";")
		q := 1.0
		if v, ok := strings.CutPrefix(strings.TrimSpace(params), "q="); ok {
			q, _ = strconv.ParseFloat(v, 64) // 0 if it is not a number
		}
		primary, _, _ := strings.Cut(strings.ToLower(strings.TrimSpace(tag)), "-")
		if l := diagnosis.Language(primary); q > weight && slices.Contains(languages, primary) {
			best, weight = l, q
		}
	}
	return best
}
