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

// translator returns the function that returns the text with a key in a language.
// An unknown key is an error of the template.
func translator(l diagnosis.Language) func(key string, args ...any) (string, error) {
	return func(key string, args ...any) (string, error) {
		text, ok := texts()[key]
		if !ok {
			return "", fmt.Errorf("no text %q", key)
		}
		if len(args) > 0 && fmt.Sprint(args[0]) == "1" {
			text = cmp.Or(texts()[key+".one"], text)
		}
		if len(args) == 0 {
			return text.In(l), nil
		}
		return fmt.Sprintf(text.In(l), args...), nil
	}
}

// wordIn returns the function that returns the word for a value, such as a blame,
// in a language, or the value itself if there is none.
func wordIn(l diagnosis.Language) func(kind string, value any) string {
	return func(kind string, value any) string {
		word := fmt.Sprint(value)
		if text, ok := texts()[kind+"."+word]; ok {
			return text.In(l)
		}
		return word
	}
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
