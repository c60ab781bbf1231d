package web

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/exporter/diagnosis"
	"github.com/ksyun-tap/ksyun-tap/exporter/internal/printable"
	"github.com/ksyun-tap/ksyun-tap/exporter/record"
)

// beijing is the time zone of the vendor's support. It has no daylight saving
// time. It is fixed because the system may have no time zone database.
var beijing = time.FixedZone("UTC+8", 8*60*60)

// The lines of a ticket.
const (
	lineIntroduction = iota
	lineNoID         // the introduction without a request ID of the vendor's
	lineRequestID
	lineTime
	lineRegion
	lineAPI
	lineCode
	lineType
	lineStatus
	lineFault
	lineMessage
	lineURL
	lineHost
	lineUpstream
	lineAddress
	lineClient
	lineFailedItems
	lineScope
	lineNone // for a required line that is empty
	lineNoResponse
	lines
)

// words are the words of a ticket in each language.
var words = map[diagnosis.Language][lines]string{
	diagnosis.English: {
		lineIntroduction: "A Ksyun API call failed. Please look into it by its request ID.",
		lineNoID:         "A Ksyun API call failed, and there is no request ID from the API. Please look into it by its time and addresses.",
		lineRequestID:    "Request ID", lineTime: "Time", lineRegion: "Region", lineAPI: "API", lineCode: "Error code",
		lineType: "Error type", lineStatus: "HTTP status", lineFault: "Failure", lineMessage: "Message",
		lineURL: "Request URL", lineHost: "Host", lineUpstream: "Server address", lineAddress: "Client address",
		lineClient: "Client", lineFailedItems: "Failed items", lineScope: "Scope", lineNone: "none", lineNoResponse: "no complete response",
	},
	diagnosis.Chinese: {
		lineIntroduction: "调用金山云 API 失败，请根据请求 ID 协助排查。",
		lineNoID:         "调用金山云 API 失败，且未收到 API 返回的请求 ID，请根据时间和地址协助排查。",
		lineRequestID:    "请求 ID", lineTime: "时间", lineRegion: "地域", lineAPI: "接口", lineCode: "错误码",
		lineType: "错误类型", lineStatus: "HTTP 状态码", lineFault: "故障", lineMessage: "错误信息",
		lineURL: "请求地址", lineHost: "域名", lineUpstream: "服务端地址", lineAddress: "客户端地址",
		lineClient: "客户端", lineFailedItems: "失败条目数", lineScope: "影响范围", lineNone: "无", lineNoResponse: "未收到完整响应",
	},
}

// Ticket returns the text of a support ticket about r, in a form that is safe to print.
func Ticket(r *record.Record, language diagnosis.Language) string {
	return printable.Escape(ticket(r, language))
}

// ticket returns the text of a support ticket about r. A request ID that the
// vendor did not issue is left out, because the vendor cannot look it up, and so is the
// advice, which is for the program's side.
func ticket(r *record.Record, language diagnosis.Language) string {
	words := words[language]
	var b strings.Builder
	line := func(i int, value string) {
		if value != "" {
			fmt.Fprintf(&b, "%s: %s\n", words[i], value)
		}
	}
	always := func(i int, value string) { line(i, cmp.Or(value, words[lineNone])) }

	issued := r.RequestID != "" && r.RequestIDSource == classify.RequestIDVendor
	if issued {
		b.WriteString(words[lineIntroduction] + "\n\n")
		line(lineRequestID, r.RequestID)
	} else {
		b.WriteString(words[lineNoID] + "\n\n")
	}
	always(lineTime, fmt.Sprintf("%s (%s)", r.Time.UTC().Format(time.RFC3339), r.Time.In(beijing).Format(time.RFC3339)))
	always(lineRegion, r.Region)
	always(lineAPI, operation(r))
	if r.Fault != classify.FaultNone {
		line(lineFault, fmt.Sprintf("%s (%s)", words[lineNoResponse], r.Fault))
	} else {
		always(lineCode, codes(r))
	}
	line(lineType, string(r.Type))
	always(lineStatus, number(r.Status))
	if r.RequestIDSource != classify.RequestIDTap { // otherwise the message is the tap's own, too
		always(lineMessage, r.Message)
	}
	always(lineURL, strings.TrimSpace(r.Method+" "+r.URL))
	line(lineHost, r.Host)
	line(lineUpstream, address(r.Upstream))
	if !issued {
		line(lineAddress, address(r.Client))
	}
	line(lineClient, r.UserAgent)
	line(lineFailedItems, number(r.FailedItems))
	for _, d := range r.Diagnoses {
		if d.Certainty == diagnosis.Possible {
			continue
		}
		fmt.Fprintf(&b, "- [%s] %s %s\n", d.Certainty.Text().In(language), d.Summary.In(language), d.Evidence.In(language))
	}
	if r.Scope != (diagnosis.Scope{}) {
		line(lineScope, r.Scope.Sentence(language, r.Blame, r.Time))
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
		return r.Code
	}
	return fmt.Sprintf("%s (%s)", r.Code, r.InnerCode)
}

// number formats n, or returns "" for 0.
func number(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}
