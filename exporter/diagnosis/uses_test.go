package diagnosis

import (
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/ksyun-tap/ksyun-tap/classify"
)

// TestWhatDistinguishesUses changes each property of an attempt that distinguishes uses, and
// some that do not. The uses that are found at once are those with the same key.
func TestWhatDistinguishesUses(t *testing.T) {
	d := New()
	own := d.find(success(), epoch.Unix())
	for name, tt := range map[string]struct {
		change func(o *classify.Observation)
		same   bool
	}{
		"nothing":          {func(*classify.Observation) {}, true},
		"the port":         {func(o *classify.Observation) { o.Client = netip.AddrPortFrom(o.Client.Addr(), 2) }, true},
		"the time":         {func(o *classify.Observation) { o.Call.SignedAt = o.Call.SignedAt.Add(time.Second) }, true},
		"another way in":   {func(o *classify.Observation) { o.Source = classify.SourceForward }, true},
		"signed by us":     {func(o *classify.Observation) { o.Source = classify.SourceResign }, false},
		"not signed":       {func(o *classify.Observation) { o.Call.Signing = classify.SigningNone }, false},
		"presigned":        {func(o *classify.Observation) { o.Call.Signing = classify.SigningPresigned }, false},
		"signed simply":    {func(o *classify.Observation) { o.Call.Signing = classify.SigningSimple }, false},
		"https":            {func(o *classify.Observation) { o.Scheme = "https" }, false},
		"no scheme":        {func(o *classify.Observation) { o.Scheme = "" }, false},
		"the address":      {func(o *classify.Observation) { o.Client = netip.MustParseAddrPort("192.0.2.10:1") }, false},
		"the User-Agent":   {func(o *classify.Observation) { o.UserAgent = []byte("curl/8.5.0") }, false},
		"the action":       {func(o *classify.Observation) { o.Call.Action = "ListMetrics" }, false},
		"the version":      {func(o *classify.Observation) { o.Call.Version = "2023-07-12" }, false},
		"the region":       {func(o *classify.Observation) { o.Call.Region = "cn-shanghai-2" }, false},
		"the service":      {func(o *classify.Observation) { o.Call.Service = "kec" }, false},
		"the credential":   {func(o *classify.Observation) { o.Credential = "key-b" }, false},
		"no User-Agent":    {func(o *classify.Observation) { o.UserAgent = nil }, false},
		"nothing is known": {func(o *classify.Observation) { *o = classify.Observation{} }, false},
	} {
		o := success()
		tt.change(o)
		assert.Equal(t, tt.same, own.use.is(o), name)
		assert.Equal(t, tt.same, own.key == useKey(o), "%s: key", name)
		assert.Equal(t, tt.same, d.find(o, epoch.Unix()).use == own.use, "%s: found", name)
	}
}
