package web

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/ksyun-tap/ksyun-tap/exporter/diagnosis"
	"github.com/ksyun-tap/ksyun-tap/exporter/record"
)

// beijing is the time zone of the vendor's support. It has no daylight saving
// time. It is fixed because the system may have no time zone database.
var beijing = time.FixedZone("UTC+8", 8*60*60)

// ticketEnglish returns the text of a support ticket about r in English.
func ticketEnglish(r *record.Record) string {
	return ticket(r, [...]string{
		"A Ksyun API call failed. Please look into it by its request ID.",
		"Request ID", "Time", "Region", "API", "Error code", "Error type", "HTTP status", "Message",
		"Request URL", "Host", "Server address", "Client", "Failed items",
	}, "none", diagnosis.English)
}

// ticketChinese is ticketEnglish in Chinese.
func ticketChinese(r *record.Record) string {
	return ticket(r, [...]string{
		"调用金山云 API 失败，请根据请求 ID 协助排查。",
		"请求 ID", "时间", "地域", "接口", "错误码", "错误类型", "HTTP 状态码", "错误信息",
		"请求地址", "域名", "服务端地址", "客户端", "失败条目数",
	}, "无", diagnosis.Chinese)
}

// ticket formats r with the given words: an introduction, the labels of the
// lines, and the placeholder for a required line that is empty.
func ticket(r *record.Record, words [14]string, none string, language diagnosis.Language) string {
	var b strings.Builder
	b.WriteString(words[0])
	b.WriteString("\n\n")
	line := func(i int, value string) {
		if value != "" {
			fmt.Fprintf(&b, "%s: %s\n", words[i], value)
		}
	}
	always := func(i int, value string) {
		if value == "" {
			value = none
		}
		line(i, value)
	}

	always(1, r.RequestID)
	always(2, fmt.Sprintf("%s (%s)", r.Time.UTC().Format(time.RFC3339), r.Time.In(beijing).Format(time.RFC3339)))
	always(3, r.Region)
	always(4, operation(r))
	always(5, codes(r))
	line(6, string(r.ErrorType))
	always(7, number(r.HTTPStatus))
	always(8, r.Message)
	always(9, strings.TrimSpace(r.Method+" "+r.URL))
	line(10, r.Host)
	if r.Upstream.IsValid() {
		line(11, r.Upstream.String())
	}
	line(12, r.UserAgent)
	line(13, number(r.FailedItems))
	for _, d := range r.Diagnoses {
		if d.Certainty == diagnosis.Possible {
			continue
		}
		fmt.Fprintf(&b, "- [%s] %s %s\n", d.Certainty.Text().In(language), d.Summary.In(language), d.Evidence.In(language))
	}
	if words := map[diagnosis.Language]string{diagnosis.English: "Advice", diagnosis.Chinese: "处理建议"}; !r.Advice.IsZero() {
		fmt.Fprintf(&b, "%s: %s\n", words[language], r.Advice.Text().In(language))
	}
	return b.String()
}

// operation returns service, action and version of the API call.
func operation(r *record.Record) string {
	return strings.Join(strings.Fields(r.Service+" "+r.Action+" "+r.Version), " ")
}

// codes returns the error code and, in parentheses, the inner code.
func codes(r *record.Record) string {
	if r.InnerCode == "" {
		return r.ErrorCode
	}
	return fmt.Sprintf("%s (%s)", r.ErrorCode, r.InnerCode)
}

// number formats n, or returns "" for 0.
func number(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}
