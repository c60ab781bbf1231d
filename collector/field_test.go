package collector

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/internal/testfile"
)

// eachDriver runs a test with the loops and without.
func eachDriver(t *testing.T, test func(t *testing.T, driver func(*Config))) {
	t.Helper()
	for name, loops := range map[string]int{"loop": 0, "blocking": -1} {
		t.Run(name, func(t *testing.T) { test(t, func(c *Config) { c.Loops = loops }) })
	}
}

func field(t *testing.T, name string) string {
	t.Helper()
	return string(testfile.Read(t, "testdata/field/"+name))
}

// TestResponsesFromTheField passes on responses that servers have sent, which are odd
// but readable: as they are, observed, and both connections closed behind them.
func TestResponsesFromTheField(t *testing.T) {
	for name, want := range map[string]struct {
		status  int
		outcome classify.Outcome
		code    string
		blame   classify.Blame
	}{
		"http10-chunked.http":    {200, classify.OutcomeMasked, "LimitExceeded1", classify.BlameProvider},
		"both-lengths.http":      {200, classify.OutcomeMasked, "LimitExceeded", classify.BlameQuota},
		"folded.http":            {200, classify.OutcomeMasked, "LimitExceeded1", classify.BlameProvider},
		"bare-lf.http":           {200, classify.OutcomeMasked, "LimitExceeded1", classify.BlameProvider},
		"two-equal-lengths.http": {200, classify.OutcomeMasked, "LimitExceeded1", classify.BlameProvider},
		"unasked-101.http":       {101, classify.OutcomeError, "", classify.BlameNetwork},
	} {
		t.Run(name, func(t *testing.T) {
			eachDriver(t, func(t *testing.T, driver func(*Config)) {
				r := newRig(t, driver)
				other := r.client()
				other.Send(request(host))
				upOther := r.upstream()
				upOther.Expect(request(host))
				r.begun()

				c := r.client()
				c.Send(request(host))
				up := r.upstream()
				up.Expect(request(host))
				up.Deliver(field(t, name), c)
				if want.status == http.StatusSwitchingProtocols { // what follows could be anything
					up.Deliver("more", c)
					c.Send(request(host))
				}
				up.ExpectEnd()
				c.ExpectEnd()
				r.begun()
				v := r.observed()
				assert.Equal(t, classify.FaultNone, v.Fault)
				assert.Equal(t, want.status, v.Verdict.Status)
				assert.Equal(t, want.outcome, v.Verdict.Outcome)
				assert.Equal(t, want.code, v.Verdict.Code)
				assert.Equal(t, want.blame, v.Verdict.Blame)

				upOther.Deliver(okResponse, other)
				assert.Equal(t, classify.OutcomeSuccess, r.observed().Verdict.Outcome)
			})
		})
	}
}

// TestUnasked101Ends has either side close the connection after it.
func TestUnasked101Ends(t *testing.T) {
	eachDriver(t, func(t *testing.T, driver func(*Config)) {
		r := newRig(t, driver)
		response := field(t, "unasked-101.http")
		for name, end := range map[string]func(c, up interface{ CloseWrite() error }){
			"upstream": func(_, up interface{ CloseWrite() error }) { up.CloseWrite() },
			"program":  func(c, up interface{ CloseWrite() error }) { c.CloseWrite(); up.CloseWrite() },
		} {
			c := r.client()
			c.Send(request(host))
			up := r.upstream()
			up.Expect(request(host))
			up.Deliver(response, c)
			end(c, up)
			up.ExpectEnd()
			c.ExpectEnd()
			r.begun()
			o := r.observed()
			assert.Equal(t, classify.FaultNone, o.Fault, name)
			assert.Equal(t, http.StatusSwitchingProtocols, o.Verdict.Status, name)
		}
	})
}

// TestRequestsFromTheField has the tap take what programs have sent.
func TestRequestsFromTheField(t *testing.T) {
	eachDriver(t, func(t *testing.T, driver func(*Config)) {
		t.Run("plain HTTP behind its CONNECT", func(t *testing.T) {
			r := newInterceptRig(t, driver)
			r.leadAll(host + ":80")
			c := r.client()
			c.Send(field(t, "plain-within-connect.req"))
			c.Expect(established)
			up := r.upstream()
			up.Expect(request(host))
			up.Deliver(okResponse, c)
			r.begun()
			assert.Equal(t, http.StatusOK, r.observed().Verdict.Status)
		})
		t.Run("a request behind a refused CONNECT", func(t *testing.T) {
			r := newInterceptRig(t, driver)
			r.leadAll(host + ":80")
			c := r.client()
			c.Send(field(t, "behind-refused-connect.req"))
			resp, _ := c.Response()
			assert.Equal(t, http.StatusForbidden, resp.StatusCode)
			c.ExpectEnd()
			assert.Equal(t, classify.FaultHostRefused, r.observed().Fault)
			r.silent()
			assert.Zero(t, r.proxy.Stats().Dials, "what is behind it is not a request")
		})
		t.Run("not UTF-8", func(t *testing.T) {
			r := newRig(t, driver)
			c := r.client()
			c.Send(field(t, "not-utf8.req"))
			resp, body := c.Response()
			assert.Equal(t, http.StatusBadRequest, resp.StatusCode)
			assert.Contains(t, body, "target")
			c.ExpectEnd()
			assert.Equal(t, classify.FaultBadRequest, r.observed().Fault)
			r.silent()
			assert.Zero(t, r.proxy.Stats().Dials)
		})
	})
}
