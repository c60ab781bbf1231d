package diagnosis

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/internal/demo/cloudmonitor"
	"github.com/ksyun-tap/ksyun-tap/internal/golden"
)

// checkGolden compares v as JSON with a file.
func checkGolden(t *testing.T, name string, v any) {
	t.Helper()
	got, err := json.MarshalIndent(v, "", "  ")
	require.NoError(t, err)
	got = append(got, '\n')
	file := filepath.Join("testdata", name)
	golden.Check(t, file, got)
}

// madeCall is an attempt at a call; an empty code is a success.
type madeCall struct {
	action, region, credential, agent, client string
	code                                      string
	fault                                     classify.Fault
	at                                        time.Duration // after epoch
}

// observation returns what the tap sees of the attempt.
func (a madeCall) observation() *classify.Observation {
	o := &classify.Observation{
		Call:       classify.Call{Service: "monitor", Action: a.action, Version: "2010-05-25", Region: a.region, Signing: classify.SigningSigV4},
		Credential: a.credential, Scheme: "http", UserAgent: []byte(a.agent), Fault: a.fault, End: epoch.Add(a.at),
		Client: netip.MustParseAddrPort("127.0.0.1:40000"),
	}
	if a.client != "" {
		o.Client = netip.MustParseAddrPort(a.client + ":40001")
	}
	switch {
	case a.fault != "":
		o.Verdict = classifier.Fault(a.fault, 0)
	case a.code != "":
		status := 400
		if e, ok := classify.DefaultCatalog().Lookup(a.code); ok && len(e.Statuses) > 0 {
			status = e.Statuses[0]
		}
		o.Verdict = classifier.Response(&o.Call, &classify.Response{Status: status, Body: []byte(`{"Error":{"Code":"` + a.code + `","Message":"m"}}`)})
	default:
		o.Verdict.Outcome, o.Verdict.Status = classify.OutcomeSuccess, 200
	}
	return o
}

// fleet are successes of two programs, three actions, two regions and two keys.
func fleet(at time.Duration) (all []madeCall) {
	for i, action := range []string{"GetMetricStatisticsBatch", "GetMetricStatistics", "ListMetrics"} {
		for j, region := range []string{"cn-beijing-6", "cn-shanghai-2"} {
			for k, key := range []string{"key-a", "key-b"} {
				agent := []string{"aws-sdk-go/1.25.3 (go1.21)", "python-requests/2.31.0"}[(i+j+k)%2]
				all = append(all, madeCall{action: action, region: region, credential: key, agent: agent, at: at})
			}
		}
	}
	return all
}

// TestScope lets programs call, and looks at the sentence about one kind of failure.
func TestScope(t *testing.T) {
	const minute = time.Minute
	failing := func(at time.Duration, change func(*madeCall) bool) (all []madeCall) {
		for _, a := range fleet(at) {
			if change(&a) {
				all = append(all, a)
			}
		}
		return all
	}
	batchInBeijing := func(a *madeCall) bool {
		a.code = "ServiceTimeout"
		return a.action == "GetMetricStatisticsBatch" && a.region == "cn-beijing-6"
	}
	everything := func(a *madeCall) bool { a.fault = classify.FaultDNS; return true }
	ofKey := func(a *madeCall) bool { a.code = "InvalidClientTokenId"; return a.credential == "key-b" }
	twoActions := func(a *madeCall) bool { a.code = "LimitExceeded"; return a.action != "ListMetrics" }
	join := func(lists ...[]madeCall) (all []madeCall) {
		for _, l := range lists {
			all = append(all, l...)
		}
		return all
	}
	tests := []struct {
		name  string
		calls []madeCall
		notes map[time.Duration]Trigger
		kind  string
		want  string
		zh    string
	}{
		{
			"one action in one region", join(fleet(0), failing(53*minute, func(*madeCall) bool { return false }), fleet(50*minute), failing(53*minute, batchInBeijing)), nil, "ServiceTimeout",
			"since 08:53 UTC, only GetMetricStatisticsBatch, only cn-beijing-6, all credentials, all programs; blame: provider",
			"自 08:53 UTC 起，仅 GetMetricStatisticsBatch，仅 cn-beijing-6，所有密钥，所有程序；责任方：金山云",
		},
		{
			"everything", join(fleet(0), failing(minute, everything)), nil, "dns",
			"since 08:01 UTC, all actions, all regions, all credentials, all programs; blame: network",
			"自 08:01 UTC 起，所有接口，所有区域，所有密钥，所有程序；责任方：网络",
		},
		{
			"one key, after a reload", join(fleet(0), failing(10*minute, ofKey)),
			map[time.Duration]Trigger{9*minute + 30*time.Second: TriggerReload},
			"InvalidClientTokenId",
			"since 08:10 UTC, all actions, all regions, only credential key-b, all programs, after a reload of the tap's configuration at 08:09 UTC; blame: credential",
			"自 08:10 UTC 起，所有接口，所有区域，仅密钥 key-b，所有程序，紧随以下事件之后：ksyun-tap 重新加载配置（08:09 UTC）；责任方：密钥或权限",
		},
		{
			"long after a reload", join(fleet(0), failing(10*minute, ofKey)),
			map[time.Duration]Trigger{5 * minute: TriggerReload},
			"InvalidClientTokenId",
			"since 08:10 UTC, all actions, all regions, only credential key-b, all programs; blame: credential",
			"自 08:10 UTC 起，所有接口，所有区域，仅密钥 key-b，所有程序；责任方：密钥或权限",
		},
		{
			"two of three actions", join(fleet(0), failing(minute, twoActions)), nil, "LimitExceeded",
			"since 08:01 UTC, 2 of 3 actions, all regions, all credentials, all programs; blame: quota",
			"自 08:01 UTC 起，2/3 个接口，所有区域，所有密钥，所有程序；责任方：配额",
		},
		{
			"a new key", join(fleet(0), []madeCall{{action: "ListMetrics", region: "cn-beijing-6", credential: "key-new", agent: "python-requests/2.31.0", code: "InvalidClientTokenId", at: 5 * minute}}), nil, "InvalidClientTokenId",
			"since 08:05 UTC, only ListMetrics, only cn-beijing-6, only credential key-new, only python-requests/2.31, after the first use of a new key at 08:05 UTC; blame: credential",
			"自 08:05 UTC 起，仅 ListMetrics，仅 cn-beijing-6，仅密钥 key-new，仅 python-requests/2.31，紧随以下事件之后：首次使用新密钥（08:05 UTC）；责任方：密钥或权限",
		},
		{
			"a new version of a program", join(fleet(0), []madeCall{{action: "ListMetrics", region: "cn-beijing-6", credential: "key-a", agent: "python-requests/2.32.1", code: "InvalidParameterValue", at: 5 * minute}}), nil, "InvalidParameterValue",
			"since 08:05 UTC, only ListMetrics, only cn-beijing-6, only credential key-a, only python-requests/2.32, after the first call of a new program or version at 08:05 UTC; blame: client",
			"自 08:05 UTC 起，仅 ListMetrics，仅 cn-beijing-6，仅密钥 key-a，仅 python-requests/2.32，紧随以下事件之后：新程序或新版本首次调用（08:05 UTC）；责任方：调用方",
		},
		{
			"a single program, from the start",
			[]madeCall{{action: "ListMetrics", region: "cn-beijing-6", credential: "key-a", agent: "curl/8.1", code: "ServiceTimeout", at: minute}},
			map[time.Duration]Trigger{0: TriggerStart},
			"ServiceTimeout",
			"since 08:01 UTC, after the start of the tap at 08:00 UTC; blame: provider",
			"自 08:01 UTC 起，紧随以下事件之后：ksyun-tap 启动（08:00 UTC）；责任方：金山云",
		},
		{
			"one pod of two",
			[]madeCall{
				{action: "ListMetrics", agent: "curl/8.1", client: "192.0.2.1"}, {action: "ListMetrics", agent: "curl/8.1", client: "192.0.2.2", fault: classify.FaultReset, at: minute},
			},
			nil, "reset",
			"since 08:01 UTC, only curl/8.1 192.0.2.2; blame: network", "自 08:01 UTC 起，仅 curl/8.1 192.0.2.2；责任方：网络",
		},
		{
			"again after a break", join(failing(0, batchInBeijing), fleet(30*minute), failing(40*minute, batchInBeijing)), nil, "ServiceTimeout",
			"since 08:40 UTC, only GetMetricStatisticsBatch, only cn-beijing-6, all credentials, all programs; blame: provider",
			"自 08:40 UTC 起，仅 GetMetricStatisticsBatch，仅 cn-beijing-6，所有密钥，所有程序；责任方：金山云",
		},
		{
			"for more than a day", dayLong(), nil, "ServiceTimeout",
			"since 2026-11-23 08:00 UTC; blame: provider", "自 2026-11-23 08:00 UTC 起；责任方：金山云",
		},
		{"an unknown code", []madeCall{{action: "ListMetrics", code: "Brandnew"}}, nil, OtherKind, "since 08:00 UTC; blame: client", "自 08:00 UTC 起；责任方：调用方"},
		{"it is over", join(failing(0, batchInBeijing), fleet(16*minute)), nil, "ServiceTimeout", "", ""},
		{"another kind", failing(0, batchInBeijing), nil, "LimitExceeded", "", ""},
		{"successes", fleet(0), nil, "", "", ""},
		{"refused by the tap", []madeCall{{fault: classify.FaultHostRefused}}, nil, "host_refused", "since 08:00 UTC; blame: client", "自 08:00 UTC 起；责任方：调用方"},
	}
	for _, tt := range tests {
		d := New()
		for at, e := range tt.notes {
			d.Note(e, epoch.Add(at))
		}
		now := epoch
		for _, a := range tt.calls {
			o := a.observation()
			if o.End.After(now) {
				now = o.End
			}
			d.Observe(o)
		}
		s, ok := d.Scope(tt.kind, now)
		i := incidentOf(d, tt.kind, now)
		en, zh := s.Sentence(English, i.Blame, now), s.Sentence(Chinese, i.Blame, now)
		if ok != (tt.want != "") || en != tt.want || zh != tt.zh {
			t.Errorf("%s:\n%s\n%s\nwant\n%s\n%s", tt.name, en, zh, tt.want, tt.zh)
		}
		if all := d.Incidents(now); (len(all) > 0) != ok && tt.name != "another kind" {
			t.Errorf("%s: %d incidents", tt.name, len(all))
		}
	}
}

// TestSentence checks the times of a sentence in other zones, and what has no parts.
func TestSentence(t *testing.T) {
	beijing := time.FixedZone("UTC+8", 8*60*60)
	reload := &Happening{TriggerReload, epoch.Add(-time.Minute)}
	for _, tt := range []struct {
		scope Scope
		at    time.Time
		want  string
	}{
		{Scope{Since: epoch, Extent: Text{English: "all regions"}, After: reload}, epoch.In(beijing), "since 16:00 UTC+8, all regions, after a reload of the tap's configuration at 15:59 UTC+8; blame: quota"},
		{Scope{Since: epoch, After: reload}, epoch.Add(24*time.Hour - 30*time.Second), "since 08:00 UTC, after a reload of the tap's configuration at 2026-11-23 07:59 UTC; blame: quota"},
		{Scope{Since: epoch.Add(9 * time.Hour)}, epoch.Add(48 * time.Hour).In(beijing), "since 2026-11-24 01:00 UTC+8; blame: quota"},
		{Scope{Extent: Text{English: "since 08:00 UTC; blame: quota"}}, epoch.In(beijing), "since 08:00 UTC; blame: quota"},
		{Scope{}, epoch, ""},
	} {
		assert.Equal(t, tt.want, tt.scope.Sentence(English, classify.BlameQuota, tt.at))
	}
}

// incidentOf returns the incident of a kind, or zero.
func incidentOf(d *Diagnoser, kind string, now time.Time) (found Incident) {
	for _, i := range d.Incidents(now) {
		if i.Kind == kind {
			found = i
		}
	}
	return found
}

// dayLong are failures every ten minutes for 25 hours.
func dayLong() (all []madeCall) {
	for i := range 6*25 + 1 {
		all = append(all, madeCall{action: "ListMetrics", code: "ServiceTimeout", at: time.Duration(i) * 10 * time.Minute})
	}
	return all
}

// TestIncidentsJSON holds the form of the API.
func TestIncidentsJSON(t *testing.T) {
	d := New()
	for _, a := range fleet(0) {
		d.Observe(a.observation())
	}
	d.Note(TriggerReload, epoch.Add(4*time.Minute))
	for i, a := range fleet(5 * time.Minute) {
		a.code = "ServiceTimeout"
		if i > 8 {
			a.code = "LimitExceeded"
		}
		d.Observe(a.observation())
	}
	checkGolden(t, "incidents.golden.json", d.Incidents(epoch.Add(6*time.Minute)))
}

// TestScopeIsCached checks that a scope is computed again only for a new affected
// value or after a second.
func TestScopeIsCached(t *testing.T) {
	d := New()
	a := madeCall{action: "ListMetrics", code: "ServiceTimeout"}
	d.Observe(a.observation())
	extent := func(at time.Duration) string {
		s, _ := d.Scope("ServiceTimeout", epoch.Add(at))
		return s.Extent.English
	}
	first := extent(0)
	d.Observe(madeCall{action: "DescribeInstances", at: time.Millisecond}.observation())
	again := extent(100 * time.Millisecond)
	assert.Equal(t, first, again, "%q, then %q", first, again)
	later := extent(scopeAge)
	assert.Equal(t, "only ListMetrics", later, "a second later")
	a.action = "DescribeInstances"
	d.Observe(a.observation())
	assert.Equal(t, "all actions", extent(scopeAge), "with a new action")
}

// TestIncidentsAreBounded feeds more kinds and values than are remembered.
func TestIncidentsAreBounded(t *testing.T) {
	d := New()
	var all []string
	for _, e := range classify.DefaultCatalog().Entries() {
		if e.Grade == classify.GradeDocumented && !e.Refines && !e.DryRun && e.Fault == "" {
			all = append(all, e.Code)
		}
	}
	require.Greater(t, len(all), maxIncidents, "only %d codes", len(all))
	for _, code := range all {
		d.Observe(madeCall{action: "ListMetrics", code: code}.observation())
	}
	for i := range 10 * maxAffected {
		d.Observe(madeCall{action: fmt.Sprintf("Action%d", i), code: all[0]}.observation())
	}
	assert.Len(t, d.Incidents(epoch), maxIncidents, "kinds")
	if s := incidentOf(d, all[0], epoch); s.Actions.Affected != maxAffected || len(s.Actions.Names) != maxNamed {
		t.Errorf("%+v", s.Actions)
	}
	// What is over makes room.
	later := madeCall{action: "ListMetrics", fault: classify.FaultDNS, at: activeTime + time.Minute}
	d.Observe(later.observation())
	_, ok := d.Scope("dns", epoch.Add(later.at))
	assert.True(t, ok, "there is no room for a new kind")
}

// TestMaxScope checks the memory of the scope of a failure with the longest names.
func TestMaxScope(t *testing.T) {
	d := New()
	d.Observe(madeCall{action: "a", region: "r", credential: "c", agent: "curl/8.1"}.observation())
	name := strings.Repeat("N", 64)
	d.Observe(madeCall{
		action: name, region: name, credential: strings.Repeat("k", 128), agent: name[:58] + "/10.10", client: "[2001:db8:1111:2222:3333:4444:5555:6666]",
		fault: classify.FaultReset, at: 3 * time.Minute,
	}.observation())
	i, _ := d.Scope("reset", epoch.Add(3*time.Minute))
	if strings.Count(i.Extent.English, "only") != dimensions || i.After == nil {
		t.Errorf("%+v", i)
	}
	size := len(i.Extent.English) + len(i.Extent.Chinese) + int(unsafe.Sizeof(*i.After)) + len(i.After.Event)
	assert.LessOrEqual(t, size, MaxScope, "%d bytes, documented are at most %d", size, MaxScope)
}

// TestClockStep checks that a step of the wall clock is noticed.
func TestClockStep(t *testing.T) {
	now := time.Now() // with a monotonic reading
	var h happenings
	h.clock(now)
	h.clock(now.Add(time.Hour))
	e := h.before(now.Add(time.Hour))
	assert.Nil(t, e, "noted %v without a step", e)
	h.step -= time.Minute // as if the wall clock had been a minute behind
	h.clock(now.Add(time.Hour))
	if e := h.before(now.Add(time.Hour)); e == nil || e.Event != TriggerClock {
		t.Errorf("noted %v, want a step", e)
	}
}

// TestEventsHaveTexts checks the words of every event.
func TestEventsHaveTexts(t *testing.T) {
	for _, e := range []Trigger{TriggerReload, TriggerStart, TriggerKey, TriggerProgram, TriggerClock} {
		if text := e.Text(); text.English == string(e) || !han.MatchString(text.Chinese) {
			t.Errorf("%s: %v", e, text)
		}
	}
}

// TestProgramOf checks the names of programs.
func TestProgramOf(t *testing.T) {
	for agent, want := range map[string]string{
		"aws-sdk-go/1.25.3 (go1.21; linux; amd64)": "aws-sdk-go/1.25",
		"python-requests/2.31.0":                   "python-requests/2.31",
		"Mozilla/5.0 (compatible; node-fetch)":     "Mozilla/5.0",
		"Boto3/1.34":                               "Boto3/1.34",
		"curl":                                     "curl",
		"Java/17":                                  "Java/17",
		"":                                         programUnknown,
		" ":                                        programUnknown,
		"<script>":                                 programOther,
		"AKLTsecretsecretsecret1":                  programOther,
		"tool/AKLTsecretsecretsecret1":             programOther,
		strings.Repeat("a", 65):                    programOther,
		"工具/1.0":                                   programOther,
	} {
		assert.Equal(t, want, ProgramOf(agent), agent)
	}
}

// TestInventoryJSON holds the form of the API, with calls to the simulator.
func TestInventoryJSON(t *testing.T) {
	d := New()
	see := func(a asked, agent, credential string, minutes int) {
		o := ask(t, a, epoch.Add(time.Duration(minutes)*time.Minute))
		o.UserAgent, o.Credential = []byte(agent), credential
		d.Observe(o)
	}
	old := asked{action: "GetMetricStatistics", version: "2010-05-25", instance: 1, from: -time.Hour}
	for i := range 3 {
		see(old, "aws-sdk-go/1.25.3 (go1.21)", "key-a", i)
	}
	see(old, "aws-sdk-go/1.25.9", "key-a", 3)
	see(asked{action: "ListMetrics", version: "2023-07-12"}, "python-requests/2.31.0", "key-b", 4)
	see(asked{action: "ListMetrics", version: "1999-01-01"}, "python-requests/2.31.0", "key-b", 5)
	unknown := asked{action: "ListMetrics", version: "2023-07-12", do: cloudmonitor.Directive{Error: "BrandNewError"}}
	see(unknown, "python-requests/2.31.0", "key-b", 6)
	see(unknown, "python-requests/2.31.0", "key-b", 7)
	tls := madeCall{action: "ListMetrics", agent: "curl/8.5.0", credential: "key-c"}.observation()
	tls.Scheme, tls.Call.Signing = "https", classify.SigningPresigned
	d.Observe(tls)
	checkGolden(t, "inventory.golden.json", d.Inventory())

	if got := d.Programs(epoch.Add(10 * time.Minute)); len(got) != 3 || got[0].Program != "aws-sdk-go/1.25" || got[0].Scheme != "http" || got[2].Scheme != "https" {
		t.Errorf("%+v", got)
	}
	assert.Empty(t, d.Programs(epoch.Add(time.Hour)), "an hour later")
}

// TestInventoryIsBounded feeds more than is remembered, with secrets in it.
func TestInventoryIsBounded(t *testing.T) {
	d := New()
	const secret = "AKLTsecretsecretsecret1"
	for i := range 3 * maxUses {
		o := madeCall{action: fmt.Sprintf("Action%d", i), credential: fmt.Sprint("key-", i), agent: fmt.Sprintf("tool%d/1.0 %s", i, secret), region: secret, code: fmt.Sprintf("Code%d", i)}.observation()
		o.Verdict.Message = "the key " + secret
		d.Observe(o)
	}
	inventory := d.Inventory()
	if len(inventory.Versions) != maxInventory || len(inventory.Programs) != maxInventory || len(inventory.UnknownCodes) != maxUnknownCodes || inventory.Unlisted == 0 {
		t.Errorf("%d versions, %d programs, %d codes, %d unlisted", len(inventory.Versions), len(inventory.Programs), len(inventory.UnknownCodes), inventory.Unlisted)
	}
	for _, v := range []any{inventory, d.Incidents(epoch), d.Programs(epoch)} {
		b, err := json.Marshal(v)
		if err != nil || strings.Contains(string(b), secret) {
			t.Errorf("%v: a secret in %.300s", err, b)
		}
	}
	// What is no longer active makes room.
	d.Observe(madeCall{action: "Late", at: activeTime + time.Minute}.observation())
	found := false
	for e := range d.uses.all {
		found = found || e.value.shown[byAction] == "Late"
	}
	assert.True(t, found, "there is no room for a new use")
}
