package diagnosis

import (
	"fmt"
	"io"
)

// Language is a language of texts.
type Language string

// The languages.
const (
	English Language = "en"
	Chinese Language = "zh"
)

// In returns the text in the language l.
func (t Text) In(l Language) string {
	if l == Chinese {
		return t.Chinese
	}
	return t.English
}

// Text returns the certainty as a word for users.
func (c Certainty) Text() Text {
	switch c {
	case Certain:
		return Text{"certain", "确定"}
	case Likely:
		return Text{"likely", "很可能"}
	case Possible:
		return Text{"possible", "可能"}
	case Excluded:
		return Text{"excluded", "已排除"}
	}
	return Text{string(c), string(c)}
}

// Text returns a sentence for users on whether a retry helps.
func (r Retry) Text() Text {
	switch r {
	case RetryNever:
		return Text{"A retry fails again until this is changed.", "在修正之前重试仍会失败。"}
	case RetryResign:
		return Text{"A retry succeeds if it is signed again.", "重新签名后重试即可成功。"}
	}
	return Text{}
}

// Write writes diagnoses as text in the language l, one paragraph each.
func Write(w io.Writer, all []Diagnosis, l Language) error {
	words := map[Language][2]string{English: {"Do: ", "See: "}, Chinese: {"处理：", "参考："}}[l]
	for i, d := range all {
		if i > 0 {
			if _, err := fmt.Fprintln(w); err != nil {
				return err
			}
		}
		if _, err := fmt.Fprintf(w, "%d. %s (%s, %s)\n   %s\n", i+1, d.Summary.In(l), d.Cause, d.Certainty.Text().In(l), d.Evidence.In(l)); err != nil {
			return err
		}
		if d.Certainty == Excluded {
			continue
		}
		if _, err := fmt.Fprintf(w, "   %s%s %s\n", words[0], d.Advice.In(l), d.Retry.Text().In(l)); err != nil {
			return err
		}
		if d.Runbook != "" {
			if _, err := fmt.Fprintf(w, "   %s%s\n", words[1], d.Runbook); err != nil {
				return err
			}
		}
	}
	return nil
}
