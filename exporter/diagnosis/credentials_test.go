package diagnosis

import (
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/internal/demo/cloudmonitor"
)

var another = cloudmonitor.Credential{AccessKey: "AKLTscenario000000001", SecretKey: "another-key"}

func TestKeyIsRevoked(t *testing.T) {
	l := newLab(t, false)
	l.repeat(3, attempt{wait: time.Minute})
	l.want()
	l.gateway.Revoke(credential.AccessKey)
	l.repeat(2, attempt{wait: time.Minute})
	l.want()
	_, all := l.do(attempt{wait: time.Minute})
	l.want(CauseKeyRevoked)
	if len(all) == 0 || all[0].Cause != CauseKeyRevoked || all[0].Certainty != Likely {
		t.Errorf("diagnosed %v", names(all))
	}
	if c := l.credentials(); !c[0].Refused || c[0].Errors[classify.CategoryAuth] != 3 {
		t.Errorf("credentials %+v", c)
	}
	l.repeat(20, attempt{wait: time.Minute})
	l.want(CauseKeyRevoked) // once
	l.gateway.SetCredential(credential)
	l.do(attempt{wait: time.Minute})
	l.want(CauseKeyRevoked, CauseKeyRecovered)
	c := l.credentials()
	assert.False(t, c[0].Refused, "credentials %+v", c)
}

// TestTokenExpires lets the token of a temporary key expire, which the gateway says in
// one of two ways.
func TestTokenExpires(t *testing.T) {
	for name, tt := range map[string]struct {
		expire func(l *lab, c cloudmonitor.Credential)
		sure   Certainty
	}{
		"SecurityTokenExpired": {func(l *lab, c cloudmonitor.Credential) { c.TokenExpired = true; l.gateway.SetCredential(c) }, Certain},
		"InvalidClientTokenId": {func(l *lab, c cloudmonitor.Credential) { l.gateway.Revoke(c.AccessKey) }, Likely},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, false)
			temporary := another
			temporary.Token = "the-token"
			l.gateway.SetCredential(temporary)
			l.repeat(3, attempt{wait: time.Minute, as: &temporary})
			tt.expire(l, temporary)
			l.repeat(2, attempt{wait: time.Minute, as: &temporary})
			l.want()
			o, all := l.do(attempt{wait: time.Minute, as: &temporary})
			l.want(CauseKeyExpired)
			if o.Verdict.CanonicalCode() != name || len(all) == 0 || all[0].Cause != CauseKeyExpired || all[0].Certainty != tt.sure || slices.Contains(causesOf(all), CauseKeyRevoked) {
				t.Errorf("%s: diagnosed %v", o.Verdict.Code, names(all))
			}
			if c := l.credentials(); !c[0].Expired || c[0].Refused {
				t.Errorf("credentials %+v", c)
			}
			c := l.d.Credentials(l.now.Add(2 * expiredMemory))
			assert.False(t, c[0].Expired, "long afterwards: %+v", c)
			l.gateway.SetCredential(temporary) // a clock was wrong
			l.do(attempt{wait: time.Minute, as: &temporary})
			l.want(CauseKeyExpired, CauseKeyRecovered)
			if c := l.credentials(); c[0].Expired {
				t.Errorf("credentials %+v", c)
			}
		})
	}
}

func TestPermissionIsLost(t *testing.T) {
	l := newLab(t, false)
	l.repeat(3, attempt{wait: time.Minute})
	l.do(attempt{query: listPolicies})
	denied := credential
	denied.Denied = []string{"GetMetricStatistics"}
	l.gateway.SetCredential(denied)
	l.repeat(2, attempt{wait: time.Minute})
	l.do(attempt{query: listPolicies}) // still allowed
	_, all := l.do(attempt{wait: time.Minute})
	l.want(CausePermissionLost)
	if !slices.Contains(causesOf(all), CausePermissionLost) {
		t.Errorf("diagnosed %v", names(all))
	}
	if c := l.credentials(); c[0].Denied != 1 || c[0].Refused {
		t.Errorf("credentials %+v", c)
	}
	l.gateway.SetCredential(credential)
	l.do(attempt{wait: time.Minute})
	l.want(CausePermissionLost, CauseKeyRecovered)
	c := l.credentials()
	assert.Zero(t, c[0].Denied, "credentials %+v", c)
}

const listPolicies = "Action=ListAlarmPolicy&Version=2021-01-01"

// TestCredentialsInnocent plays what looks similar and is none of it.
func TestCredentialsInnocent(t *testing.T) {
	for name, play := range map[string]func(l *lab){
		"a key that never worked": func(l *lab) { l.repeat(10, attempt{wait: time.Minute, as: &another}) },
		"a permission that was never there": func(l *lab) {
			denied := credential
			denied.Denied = []string{"GetMetricStatistics"}
			l.gateway.SetCredential(denied)
			l.repeat(5, attempt{wait: time.Minute, query: listPolicies})
			l.repeat(10, attempt{wait: time.Minute})
		},
		"another program with a wrong secret": func(l *lab) {
			wrong := credential
			wrong.SecretKey = "wrong"
			l.do(attempt{})
			l.repeat(10, attempt{wait: time.Minute, as: &wrong, from: "192.0.2.10"})
		},
		"single refusals": func(l *lab) {
			for range 10 {
				l.do(attempt{wait: time.Minute})
				l.gateway.Revoke(credential.AccessKey)
				l.repeat(2, attempt{wait: 15 * time.Second})
				l.gateway.SetCredential(credential)
			}
		},
		"resources of another account": func(l *lab) {
			l.do(attempt{})
			foreign := credential
			foreign.Foreign = true
			l.gateway.SetCredential(foreign)
			l.repeat(10, attempt{wait: time.Minute})
		},
		"a token that never worked": func(l *lab) {
			expired := another
			expired.Token, expired.TokenExpired = "the-token", true
			l.gateway.SetCredential(expired)
			l.repeat(10, attempt{wait: time.Minute, as: &expired})
		},
		"a token that was replaced in time": func(l *lab) {
			temporary := another
			temporary.Token = "the-token"
			l.gateway.SetCredential(temporary)
			l.repeat(3, attempt{wait: time.Minute, as: &temporary})
			temporary.AccessKey, temporary.Token = "AKLTscenario000000002", "another-token"
			l.gateway.SetCredential(temporary)
			l.gateway.Revoke(another.AccessKey)
			l.repeat(10, attempt{wait: time.Minute, as: &temporary})
		},
		"throttling": func(l *lab) {
			l.do(attempt{})
			l.repeat(10, attempt{wait: time.Minute, do: cloudmonitor.Directive{Error: "LimitExceeded"}})
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, false)
			play(l)
			l.want()
		})
	}
}

func TestKeyIsUsedElsewhere(t *testing.T) {
	l := newLab(t, false)
	l.do(attempt{})
	l.do(attempt{region: "cn-shanghai-2"})
	l.want(CauseKeyNewRegion)
	l.do(attempt{host: "kec.api.ksyun.com", query: "Action=DescribeInstances&Version=2016-03-04"})
	l.repeat(3, attempt{})
	l.repeat(3, attempt{region: "cn-shanghai-2"})
	l.want(CauseKeyNewRegion, CauseKeyNewService)
	first := 0
	for _, e := range l.notices {
		if e.Cause == CauseKeyFirstSeen {
			first++
			assert.Equal(t, SeverityDebug, e.Severity, "at the start")
		}
	}
	l.gateway.SetCredential(another)
	l.do(attempt{wait: time.Hour, as: &another})
	l.d.Flush()
	if e := l.notices[len(l.notices)-1]; first != 1 || e.Cause != CauseKeyFirstSeen || e.Severity != SeverityInfo {
		t.Errorf("%d at first, then %+v", first, e)
	}
}

// TestCredentialsAreBounded checks that credentials beyond the limit are counted
// together, and that they take the places of those that are no longer used.
func TestCredentialsAreBounded(t *testing.T) {
	d := New()
	o := success()
	o.Verdict.Outcome, o.Verdict.Category = classify.OutcomeError, classify.CategoryThrottled
	fail := func(i int, at time.Time) {
		o.Credential, o.End = fmt.Sprintf("key-%02d", i), at
		d.Observe(o)
	}
	for i := range 2 * MaxCredentials {
		fail(i, epoch)
	}
	all := d.Credentials(epoch)
	require.Len(t, all, MaxCredentials+1, "credentials")
	other := all[slices.IndexFunc(all, func(c Credential) bool { return c.Name == OtherCredential })]
	assert.EqualValues(t, MaxCredentials, other.Errors[classify.CategoryThrottled], "failures of other credentials")
	for i := range MaxCredentials {
		fail(100+i, epoch.Add(2*time.Hour))
	}
	all = d.Credentials(epoch)
	require.Len(t, all, MaxCredentials+1)
	assert.Equal(t, "key-100", all[1].Name)
}

func TestCategoriesAreCounted(t *testing.T) {
	if len(categories) != len(new(key).errors) {
		t.Errorf("%d categories, %d counters", len(categories), len(new(key).errors))
	}
}

func (l *lab) credentials() []Credential { return l.d.Credentials(l.now) }

// TestPermissionOfUnnamedActions checks that a denial is not taken for a lost permission if
// the request does not name its action: the calls that succeeded may have been others.
func TestPermissionOfUnnamedActions(t *testing.T) {
	for _, action := range []string{"", "GetMetricStatistics"} {
		d, o := New(), success()
		o.Call.Action = action
		d.Observe(o)
		denied := *o
		denied.Verdict = classifier.Response(&o.Call, &classify.Response{Status: http.StatusForbidden, Body: []byte("<Error><Code>AccessDenied</Code><Message>Not yours.</Message></Error>")})
		all := causesOf(d.Diagnose(&denied, d.Observe(&denied)))
		assert.Equal(t, action != "", slices.Contains(all, CausePermissionLost), "action %q: %v", action, all)
	}
}
