package journal

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestFolded(t *testing.T) {
	tests := []struct {
		part, s string
		want    bool
	}{
		{"limit", "The LIMIT", true},
		{"LIMIT", "the limi, the limit", true},
		{"limit", "the limi", false},
		{"limit", "", false},
		{"  ", "a b  c", true},
		{"a b", "xA B", true},
		{"5b1f-4C6E", "00000001-5b1f-4c6e-9d2a", true},
		{"e-9", "00000001-5b1f-4c6e-8d2a-e-9", true},
		{"限流", "请求被限流", true},
		{"限流", "请求被限制", false},
		{"被限k", "请求被限K", true},
		{"É", "é", true},
		{"\u212a", "\u212a", true},
		{"s1\u2c65", "\u017f1\u023a", true},
		{"\xff", "\xfe", true},
		{"k", "\u212a", false},
	}
	for _, tt := range tests {
		part := newFolded(tt.part)
		assert.Equal(t, tt.want, part.in(tt.s), "%q in %q", tt.part, tt.s)
	}
}

func FuzzFolded(f *testing.F) {
	for _, s := range [][2]string{{"LimitExceeded", "limitexceeded"}, {"a b", "xA B"}, {"限k", "限K"}, {"s1\u2c65", "\u017f1\u023a"}, {"\xff", "\xfe"}, {" a", "  A"}} {
		f.Add(s[0], s[1])
	}
	f.Fuzz(func(t *testing.T, part, s string) {
		p := newFolded(part)
		assert.Equal(t, p.anywhere(s), p.in(s), "%q in %q", part, s)
	})
}

// BenchmarkFolded searches the texts of a failure for a text that is not there, with and
// without looking for a byte first.
func BenchmarkFolded(b *testing.B) {
	texts := []string{
		"1m4q7t9k001x7f2", "00000000-1111-4222-8333-444444444403", "LimitExceeded", "The request exceeds the limit of 10 per second of the action.",
		"Too many requests of this account were sent to the action within a second.", "在一秒内向该操作发送了过多的请求。",
		"Send fewer requests: several instances in one call, and with a longer period.", "请减少请求：在一次调用中查询多个实例，并使用更长的周期。",
		"GetMetricStatisticsBatch", "cn-beijing-6", "http://monitor.api.ksyun.com/?Action=GetMetricStatisticsBatch&Version=2018-11-14&Service=monitor&Region=cn-beijing-6",
		"monitor.api.ksyun.com", "python-requests/2.32.3", "grafana", "quota_limit", "12 calls in the last second, of 10 that are allowed",
	}
	for _, text := range []string{"5b1f-4c6e", "no such text", "实例名"} {
		part := newFolded(text)
		for name, in := range map[string]func(string) bool{"byte": part.in, "everywhere": part.anywhere} {
			b.Run(text+"/"+name, func(b *testing.B) {
				for b.Loop() {
					for _, s := range texts {
						if in(s) {
							b.Fatal(s)
						}
					}
				}
			})
		}
	}
}
