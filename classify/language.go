package classify

// Text is a text for users in every supported language.
type Text struct {
	English string `json:"en" yaml:"en"`
	Chinese string `json:"zh" yaml:"zh"`
}

// Bytes returns the length of the text in all languages.
func (t Text) Bytes() int { return len(t.English) + len(t.Chinese) }

// Language is a language of texts.
type Language string

// The languages.
const (
	English Language = "en"
	Chinese Language = "zh" // Simplified
)

// In returns the text in the language l.
func (t Text) In(l Language) string {
	if l == Chinese {
		return t.Chinese
	}
	return t.English
}
