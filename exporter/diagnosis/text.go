package diagnosis

import (
	"fmt"
	"io"
	"time"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/classify/signature"
)

// Fact is one value that supports a diagnosis.
type Fact = signature.Fact

// Text is a text in every supported language.
type Text = classify.Text

// Language is a language of texts.
type Language = classify.Language

// The languages.
const (
	English = classify.English
	Chinese = classify.Chinese
)

// Text returns the certainty as a word for users.
func (c Certainty) Text() Text {
	switch c {
	case Certain:
		return Text{English: "certain", Chinese: "确定"}
	case Likely:
		return Text{English: "likely", Chinese: "很可能"}
	case Possible:
		return Text{English: "possible", Chinese: "可能"}
	case Excluded:
		return Text{English: "excluded", Chinese: "已排除"}
	}
	return Text{English: string(c), Chinese: string(c)}
}

// Text returns a sentence for users on whether and how to retry.
func (r Retry) Text() Text {
	switch r {
	case RetryNever:
		return Text{English: "A retry fails again until this is changed.", Chinese: "在修正之前重试仍会失败。"}
	case RetryResign:
		return Text{English: "A retry succeeds if it is signed again.", Chinese: "重新签名后重试即可成功。"}
	case RetryBackoff:
		return Text{
			English: "Retry after 1 second, then double the pause each time, with jitter, up to 60 seconds.",
			Chinese: "等待 1 秒后重试，之后每次把间隔加倍并加入随机抖动，最长 60 秒。",
		}
	case RetryWindow:
		return Text{
			English: "Wait 60 seconds, until the next window of the limit, then continue at a lower rate. Double the pause each time, with jitter, up to 5 minutes.",
			Chinese: "等待 60 秒，到下一个限流窗口后以更低的速度继续；之后每次把间隔加倍并加入随机抖动，最长 5 分钟。",
		}
	case RetryCheck:
		return Text{
			English: "The call may have been carried out: look whether it was before sending it again.",
			Chinese: "该调用可能已经执行：再次发送之前请先确认。",
		}
	case RetryUnneeded:
		return Text{English: "No retry is needed.", Chinese: "无需重试。"}
	}
	return Text{}
}

// Pauses returns the time to wait before the first retry and the maximum time
// between retries. Both are 0 if a retry does not help or needs no pause.
func (r Retry) Pauses() (first, most time.Duration) {
	switch r {
	case RetryBackoff, RetryCheck:
		return time.Second, time.Minute
	case RetryWindow:
		return time.Minute, 5 * time.Minute
	case RetryNever, RetryResign, RetryUnneeded:
	}
	return 0, 0
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
		if _, err := fmt.Fprintf(w, "   %s%s\n", words[0], d.Advice.Text().In(l)); err != nil {
			return err
		}
		if d.Advice.Runbook != "" {
			if _, err := fmt.Fprintf(w, "   %s%s\n", words[1], d.Advice.Runbook); err != nil {
				return err
			}
		}
	}
	return nil
}
