package diagnosis

import (
	_ "embed"
	"fmt"
	"strings"
	"sync"

	"go.yaml.in/yaml/v3"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/exporter/internal/printable"
)

//go:embed causes.yaml
var causesYAML []byte

// Description describes a cause, independently of the request. In Evidence, {name}
// is a placeholder for a fact.
type Description struct {
	Cause    Cause          `json:"cause"`
	Blame    classify.Blame `json:"blame"`
	Summary  Text           `json:"summary"`
	Evidence Text           `json:"evidence"`
	Advice   Advice         `json:"advice"`
}

// causes lists every cause in the order of causes.yaml.
var causes = sync.OnceValue(func() []Description {
	var file []struct {
		Cause    Cause          `yaml:"cause"`
		Blame    classify.Blame `yaml:"blame"`
		Retry    Retry          `yaml:"retry"`
		Runbook  string         `yaml:"runbook"`
		Summary  Text           `yaml:"summary"`
		Evidence Text           `yaml:"evidence"`
		Advice   Text           `yaml:"advice"`
	}
	if err := yaml.Unmarshal(causesYAML, &file); err != nil {
		panic(fmt.Sprintf("causes.yaml: %v", err)) // the file is embedded and tested
	}
	all := make([]Description, len(file))
	for i, d := range file {
		all[i] = Description{Cause: d.Cause, Blame: d.Blame, Summary: d.Summary, Evidence: d.Evidence, Advice: advise(d.Advice, d.Retry, runbookURL(d.Runbook))}
	}
	return all
})

// byCause maps causes to their descriptions.
var byCause = sync.OnceValue(func() map[Cause]*Description {
	m := make(map[Cause]*Description, len(causes()))
	for i := range causes() {
		m[causes()[i].Cause] = &causes()[i]
	}
	return m
})

// Describe returns the description of a cause.
func Describe(c Cause) (Description, bool) {
	d, ok := byCause()[c]
	if !ok {
		return Description{}, false
	}
	return *d, true
}

// Causes returns the descriptions of all causes in the order of the documentation.
func Causes() []Description { return append([]Description(nil), causes()...) }

// maxFilled is the maximum length of a text with facts filled in, in bytes.
const maxFilled = 400

// MaxBytes is the maximum memory of the diagnoses of one failure, in bytes. Texts
// without facts are shared and not counted.
const MaxBytes = MaxDiagnoses * (256 + 4*maxFilled)

// say returns the diagnosis of a cause with the given facts as evidence.
func say(c Cause, sure Certainty, facts ...Fact) Diagnosis {
	d, ok := byCause()[c]
	if !ok {
		return Diagnosis{Cause: c, Certainty: sure, Blame: classify.BlameClient, Advice: Advice{Retry: RetryNever}}
	}
	advice := d.Advice
	advice.Do = fillText(advice.Do, facts)
	return Diagnosis{Cause: c, Certainty: sure, Blame: d.Blame, Summary: d.Summary, Evidence: fillText(d.Evidence, facts), Advice: advice}
}

// fillText replaces the placeholders with the facts in every language.
func fillText(t Text, facts []Fact) Text {
	if len(facts) == 0 || strings.IndexByte(t.English, '{') < 0 && strings.IndexByte(t.Chinese, '{') < 0 {
		return t
	}
	var memory [4 * maxFilled]byte // enough for most texts; does not escape
	filled := appendFilled(memory[:0], t.English, facts)
	n := len(filled)
	both := string(appendFilled(filled, t.Chinese, facts)) // one allocation for both texts
	return Text{English: both[:n], Chinese: both[n:]}
}

// appendFilled appends text with the placeholders replaced with the facts, truncated to
// maxFilled bytes if there are any.
func appendFilled(dst []byte, text string, facts []Fact) []byte {
	begin, changed := len(dst), false
	for text != "" {
		start := strings.IndexByte(text, '{')
		if start < 0 {
			dst = append(dst, text...)
			break
		}
		dst = append(dst, text[:start]...)
		text = text[start:]
		value, length := placeholder(text, facts)
		if length == 0 { // a brace of the text
			value, length = text[:1], 1
		} else {
			changed = true
		}
		dst = append(dst, value...)
		text = text[length:]
	}
	if changed && len(dst)-begin > maxFilled {
		dst = append(dst[:begin], printable.Truncate(string(dst[begin:]), maxFilled)...)
	}
	return dst
}

// placeholder returns the value of the placeholder at the start of text, and the
// length of the placeholder; 0 if there is none for a fact.
func placeholder(text string, facts []Fact) (value string, length int) {
	end := strings.IndexByte(text, '}')
	if end < 0 {
		return "", 0
	}
	for i := range facts {
		if facts[i].Name == text[1:end] {
			return facts[i].Value, end + 1
		}
	}
	return "", 0
}
