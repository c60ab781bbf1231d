package diagnosis

import (
	"cmp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/classify/redact"
)

// Inventory is how the API has been used. It contains no secrets. Its JSON form is
// part of the API. Each list is ordered by count, largest first.
type Inventory struct {
	Versions    []VersionUse    `json:"versions"`
	Programs    []ProgramUse    `json:"programs"`
	Credentials []CredentialUse `json:"credentials"`
	Signatures  []SignatureUse  `json:"signatures"`
	// PlainHTTP are the credentials that were sent over unencrypted connections.
	PlainHTTP    []PlainUse       `json:"plain_http"`
	UnknownCodes []UnknownCode    `json:"unknown_codes"`
	Redundant    []RedundantQuery `json:"redundant"`
	// Unlisted is the number of attempts that are in none of the lists, because there
	// were too many different ones.
	Unlisted int64 `json:"unlisted,omitempty"`
}

// Sightings are when and how often something was seen. They are since the tap was
// started, and may begin later if the tap had to forget some.
type Sightings struct {
	First time.Time `json:"first_seen"`
	Last  time.Time `json:"last_seen"`
	Count int64     `json:"count"` // number of attempts
}

// Tally is the sightings of attempts, and how many of them failed.
type Tally struct {
	Sightings

	Failed int64 `json:"failed"`
}

// VersionUse is the use of an action in one version.
type VersionUse struct {
	Service    string `json:"service"`
	Action     string `json:"action"`
	Version    string `json:"version"`
	Documented bool   `json:"documented"` // whether the vendor documents this action in this version
	// Newer is the newest documented version of the action; "" if it is used.
	Newer string `json:"newer_version,omitempty"`
	Tally
}

// ProgramUse is the use by one program or SDK, in one version of it.
type ProgramUse struct {
	Program string `json:"program"` // of the User-Agent: name/major.minor
	Clients int    `json:"clients"` // number of addresses
	Tally
}

// CredentialUse is the use of one credential.
type CredentialUse struct {
	Credential string   `json:"credential"`
	Programs   []string `json:"programs"` // in order; at most maxPrograms
	Regions    []string `json:"regions"`  // in order; at most maxPrograms
	// PlainHTTP reports whether it was sent over unencrypted connections.
	PlainHTTP bool `json:"plain_http"`
	Tally
}

// SignatureUse is the use of one form of signature.
type SignatureUse struct {
	Form classify.Signing `json:"form"`
	// Advice is what to do about a form that should not be used.
	Advice Advice `json:"advice,omitzero"`
	Tally
}

// PlainUse is the use of a credential by a program over plain HTTP, where anyone on
// the path can read the requests and their security tokens.
type PlainUse struct {
	Program    string `json:"program"`
	Credential string `json:"credential"`
	Tally
}

// UnknownCode is an error code that the catalogue does not know.
type UnknownCode struct {
	Code    string `json:"code"`
	Status  int    `json:"status"`
	Action  string `json:"action"`
	Message string `json:"message"` // of the first one, redacted
	Sightings
}

const (
	maxInventory     = 128 // maximum length of each list
	maxPrograms      = 8   // maximum length of the lists of one credential
	maxUnknownCodes  = 32  // maximum number of unknown codes remembered
	maxUnknownLength = 64  // maximum length of a code remembered, in bytes
	maxSample        = 200 // maximum length of its message, in bytes
)

// unknownCodes remembers unknown codes. Its memory is bounded by maxUnknownCodes.
type unknownCodes struct {
	mu  sync.Mutex
	all map[string]*UnknownCode
}

// observe records the code of a failure if the catalogue does not know it.
func (t *unknownCodes) observe(o *classify.Observation) {
	v := &o.Verdict
	if v.Code == "" || v.Match == classify.MatchCode || len(v.Code) > maxUnknownLength || o.Fault != classify.FaultNone {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	u := t.all[v.Code]
	if u == nil {
		if len(t.all) >= maxUnknownCodes || redact.LooksKey(v.Code) {
			return
		}
		if t.all == nil {
			t.all = make(map[string]*UnknownCode)
		}
		message := redact.Text(v.Message)
		u = &UnknownCode{
			Code: strings.Clone(redact.Text(v.Code)), Status: v.Status, Action: strings.Clone(redact.Text(o.Call.Action)),
			Message: strings.Clone(strings.ToValidUTF8(message[:min(len(message), maxSample)], "")),
		}
		t.all[strings.Clone(v.Code)] = u
	}
	u.add(Sightings{First: o.End, Last: o.End, Count: 1})
}

// add merges other into s.
func (s *Sightings) add(other Sightings) {
	if s.Count == 0 || other.First.Before(s.First) {
		s.First = other.First.UTC()
	}
	if other.Last.After(s.Last) {
		s.Last = other.Last.UTC()
	}
	s.Count += other.Count
}

// merge adds other to t.
func (t *Tally) merge(other Tally) {
	t.add(other.Sightings)
	t.Failed += other.Failed
}

// tallyOf returns the tally of a use.
func tallyOf(e *row[use]) Tally {
	u := &e.value
	return Tally{Sightings{time.Unix(u.first, 0), time.Unix(e.used.Load(), 0), u.count()}, u.failed.Load()}
}

// Inventory returns how the API has been used.
func (d *Diagnoser) Inventory() Inventory {
	d.Flush()
	type versionKey struct{ service, action, version string }
	type plainKey struct{ program, credential string }
	versions := make(map[versionKey]*VersionUse)
	programs := make(map[string]*ProgramUse)
	clients := make(map[string]map[string]bool)
	credentials := make(map[string]*CredentialUse)
	signatures := make(map[classify.Signing]*SignatureUse)
	plain := make(map[plainKey]*PlainUse)
	for e := range d.uses.all {
		u, tally := &e.value, tallyOf(e)
		scrub := redact.Text
		entry(versions, versionKey{u.service, u.shown[byAction], u.version}, func() *VersionUse {
			documented, newer := documentedVersion(u.service, u.shown[byAction], u.version)
			return &VersionUse{Service: scrub(u.service), Action: u.shown[byAction], Version: scrub(u.version), Documented: documented, Newer: newer}
		}).merge(tally)
		entry(programs, u.program, func() *ProgramUse { return &ProgramUse{Program: u.program} }).merge(tally)
		set := clients[u.program]
		if set == nil {
			set = make(map[string]bool)
			clients[u.program] = set
		}
		set[u.client.String()] = true
		entry(signatures, u.signing, func() *SignatureUse { return &SignatureUse{Form: u.signing, Advice: signingAdvice(u.signing)} }).merge(tally)
		if u.shown[byCredential] == "" {
			continue
		}
		c := entry(credentials, u.shown[byCredential], func() *CredentialUse {
			return &CredentialUse{Credential: u.shown[byCredential], Programs: []string{}, Regions: []string{}}
		})
		c.merge(tally)
		c.Programs, c.Regions = insert(c.Programs, u.program), insert(c.Regions, u.shown[byRegion])
		if u.scheme == "http" {
			c.PlainHTTP = true
			entry(plain, plainKey{u.program, u.shown[byCredential]}, func() *PlainUse {
				return &PlainUse{Program: u.program, Credential: u.shown[byCredential]}
			}).merge(tally)
		}
	}
	for name, p := range programs {
		p.Clients = len(clients[name])
	}
	return Inventory{
		Versions:     sorted(versions, func(v *VersionUse) (int64, string) { return v.Count, v.Service + v.Action + v.Version }),
		Programs:     sorted(programs, func(p *ProgramUse) (int64, string) { return p.Count, p.Program }),
		Credentials:  sorted(credentials, func(c *CredentialUse) (int64, string) { return c.Count, c.Credential }),
		Signatures:   sorted(signatures, func(s *SignatureUse) (int64, string) { return s.Count, string(s.Form) }),
		PlainHTTP:    sorted(plain, func(p *PlainUse) (int64, string) { return p.Count, p.Program + p.Credential }),
		UnknownCodes: d.unknown.list(),
		Redundant:    d.redundant.list(),
		Unlisted:     d.noUse.count(),
	}
}

// insert returns the sorted list with value in its place, unless it has it, value is
// "", or the list is full.
func insert(list []string, value string) []string {
	if at, found := slices.BinarySearch(list, value); !found && value != "" && len(list) < maxPrograms {
		return slices.Insert(list, at, value)
	}
	return list
}

// Client is a program with its form of signature and its scheme.
type Client struct {
	Program string           `json:"program"`
	Signing classify.Signing `json:"signing"`
	Scheme  string           `json:"scheme"` // "http", "https", or "unknown" if it was not observed

	count int64
}

// Programs returns the programs that called within the last 15 minutes, those with
// the most calls first.
func (d *Diagnoser) Programs(now time.Time) []Client {
	d.Flush()
	type key struct {
		program, scheme string
		signing         classify.Signing
	}
	all := make(map[key]*Client)
	for e := range d.uses.all {
		if u := &e.value; e.active(now) {
			scheme := cmp.Or(u.scheme, programUnknown)
			entry(all, key{u.program, scheme, u.signing}, func() *Client {
				return &Client{Program: u.program, Signing: u.signing, Scheme: scheme}
			}).count += u.count()
		}
	}
	return sorted(all, func(c *Client) (int64, string) { return c.count, c.Program + c.Scheme + string(c.Signing) })
}

// list returns the unknown codes.
func (t *unknownCodes) list() []UnknownCode {
	t.mu.Lock()
	defer t.mu.Unlock()
	return sorted(t.all, func(u *UnknownCode) (int64, string) { return u.Count, u.Code })
}

// entry returns the value of a key, which is made if there is none.
func entry[K comparable, V any](m map[K]*V, key K, make func() *V) *V {
	v, ok := m[key]
	if !ok {
		v = make()
		m[key] = v
	}
	return v
}

// sorted returns copies of the values of m, ordered by count, largest first, and
// then by name.
func sorted[K comparable, V any](m map[K]*V, order func(*V) (count int64, name string)) []V {
	all := make([]V, 0, len(m))
	for _, v := range m {
		all = append(all, *v)
	}
	slices.SortFunc(all, func(a, b V) int {
		countA, nameA := order(&a)
		countB, nameB := order(&b)
		return cmp.Or(cmp.Compare(countB, countA), cmp.Compare(nameA, nameB))
	})
	return slices.Clip(all[:min(len(all), maxInventory)])
}

// documentedVersion reports whether the vendor documents an action in a version,
// and returns the newest documented version if it is another one.
func documentedVersion(service, action, version string) (documented bool, newer string) {
	newest := ""
	for _, a := range classify.KnownActions() {
		if a.Service == service && a.Name == action {
			documented = documented || a.Version == version
			newest = max(newest, a.Version)
		}
	}
	if newest == version {
		newest = ""
	}
	return documented, newest
}

// signingAdvice returns what to do about a form of signature that should not be used.
func signingAdvice(s classify.Signing) Advice {
	runbook := runbookURL("diagnosis.md#inventory")
	switch s {
	case classify.SigningPresigned:
		return advise(Text{
			English: "The signature is in the URL, which ends up in logs of proxies. Sign in the Authorization field if the SDK can.",
			Chinese: "签名位于 URL 中，会留在代理的日志里。如果 SDK 支持，请在 Authorization 字段中签名。",
		}, RetryUnneeded, runbook)
	case classify.SigningSimple:
		return advise(Text{
			English: "The simple signature does not cover the body and the header fields. Use SigV4 if the SDK can.",
			Chinese: "简单签名不包含请求体和头字段。如果 SDK 支持，请使用 SigV4。",
		}, RetryUnneeded, runbook)
	case classify.SigningNone:
		return advise(Text{
			English: "The request is not signed, so the API rejects it. Give the program an access key.",
			Chinese: "请求没有签名，API 会拒绝。请为程序配置 Access Key。",
		}, RetryNever, runbook)
	case classify.SigningSigV4:
	}
	return Advice{}
}
