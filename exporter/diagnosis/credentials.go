package diagnosis

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ksyun-tap/ksyun-tap/classify"
)

const (
	// MaxCredentials is the maximum number of credentials that are distinguished.
	// The others are counted together, as OtherCredential.
	MaxCredentials = 32
	// OtherCredential is the name of the credentials beyond MaxCredentials.
	OtherCredential = "_other"

	keyMemory     = time.Hour        // how long a credential without attempts keeps its place if another needs it
	keyStart      = 10 * time.Minute // how long after the start a new key is expected
	keyRefusals   = 3                // consecutive refusals after which a credential counts as refused
	deniedFor     = 2 * time.Minute  // how long a permission must have been missing to count as lost
	refusedMemory = 25 * time.Hour   // how long a credential without attempts counts as refused
	expiredMemory = time.Hour        // likewise, if its token has expired: a program gets another key each time
	maxPlaces     = 8                // maximum number of regions, and of services, remembered for a credential
)

// codesOfPolicy are the codes for the lack of a policy. Other codes of the category
// permission concern the resource, which differs from call to call.
var codesOfPolicy = []string{"InvalidAuthenticationCode", "AccessDenied", "PermissionDenied", "UnauthorizedOperation", "PolicyAccessDenied"}

// categories are the categories by which the failures of a credential are counted.
var categories = classify.Categories()

// key is one credential: an access key, known by the hash of it or by its alias.
type key struct {
	name string

	first     int64        // time of the first attempt, in seconds since the epoch
	used      atomic.Int64 // time of the last attempt, likewise
	announced atomic.Bool  // its first attempt was reported
	succeeded atomic.Int64 // time of the last success, in seconds since the epoch; 0 if there was none
	failed    atomic.Int64 // time of the last failure, likewise
	refusals  atomic.Int64 // number of times the key was refused since the last success
	refusal   atomic.Int32 // a refusal: why it was refused keyRefusals times since the last success, if it has worked before
	denied    atomic.Int64 // number of its usages whose permission is lost
	errors    [11]atomic.Uint64
	regions   places
	services  places
}

// refusal is why a key that worked before is refused.
type refusal = int32

const (
	refusalNone    refusal = iota
	refusalRevoked         // it was deleted or disabled
	refusalExpired         // it is a temporary key, whose security token has expired
)

// refusalOf returns why a key that worked before was refused in a failed attempt, and
// its cause. A key that was used with a token is a temporary one.
func refusalOf(o *classify.Observation, code string) (refusal, Cause) {
	switch ofKey := isOne(codesOfKey, code); {
	case isOne(codesOfToken, code), ofKey && o.Signature != nil && o.Signature.HasToken:
		return refusalExpired, CauseKeyExpired
	case ofKey:
		return refusalRevoked, CauseKeyRevoked
	}
	return refusalNone, ""
}

// permission is the state of a credential's permission for one action.
type permission struct {
	succeeded atomic.Int64 // time of the last success, in seconds since the epoch; 0 if there was none
	denials   atomic.Int64 // number of denials since the last success
	lost      atomic.Bool
	depends   atomic.Bool // it depends on the resource: some calls were denied while others succeeded
}

// places is a set of up to maxPlaces names. Look-ups take no lock.
type places [maxPlaces]atomic.Pointer[string]

// add adds a name. It reports whether the name is new, and not the first one.
func (p *places) add(name string) bool {
	for i := range p {
		known := p[i].Load()
		if known == nil {
			own := strings.Clone(name)
			if p[i].CompareAndSwap(nil, &own) {
				return i > 0
			}
			known = p[i].Load()
		}
		if *known == name {
			return false
		}
	}
	return false
}

// names returns the names in order.
func (p *places) names() []string {
	all := make([]string, 0, len(p))
	for i := range p {
		if name := p[i].Load(); name != nil {
			all = append(all, *name)
		}
	}
	slices.Sort(all)
	return all
}

// keys remembers credentials.
type keys struct {
	mu    sync.Mutex
	known map[string]*key
	first atomic.Int64 // time of the first attempt of all, in seconds since the epoch
	other key          // all credentials that there is no room for
}

// place returns the credential with the given name, which it adds if there is
// room, or else keys.other. If it had to forget another credential, it returns
// that as well.
func (s *keys) place(name string, second int64) (found, evicted *key) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if k := s.known[name]; k != nil {
		return k, nil
	}
	if len(s.known) >= MaxCredentials {
		for _, k := range s.known {
			if last := k.used.Load(); second-last > int64(keyMemory/time.Second) && (evicted == nil || last < evicted.used.Load()) {
				evicted = k
			}
		}
		if evicted == nil {
			return &s.other, nil
		}
		delete(s.known, evicted.name)
	}
	k := &key{name: strings.Clone(name), first: second}
	k.used.Store(second)
	s.known[k.name] = k
	return k, evicted
}

// started reports whether the first attempt of all was less than keyStart ago, so
// that every key is seen for the first time.
func (s *keys) started(second int64) bool {
	s.first.CompareAndSwap(0, second)
	return second-s.first.Load() < int64(keyStart/time.Second)
}

// find returns the credential with the given name, or keys.other.
func (s *keys) find(name string) *key {
	s.mu.Lock()
	defer s.mu.Unlock()
	if k := s.known[name]; k != nil {
		return k
	}
	return &s.other
}

// meet learns where a credential is used, and reports what is new.
func (d *Diagnoser) meet(o *classify.Observation, k *key) {
	if k.name == "" {
		return
	}
	if k.announced.CompareAndSwap(false, true) {
		severity := SeverityInfo
		if d.keys.started(o.End.Unix()) {
			severity = SeverityDebug
		}
		d.report(o, CauseKeyFirstSeen, severity)
	}
	if o.Call.Region != "" && k.regions.add(o.Call.Region) {
		d.report(o, CauseKeyNewRegion, SeverityInfo, Fact{Name: "region", Value: o.Call.Region}, Fact{Name: "first", Value: *k.regions[0].Load()})
	}
	if o.Call.Service != "" && k.services.add(o.Call.Service) {
		d.report(o, CauseKeyNewService, SeverityInfo, Fact{Name: "service", Value: o.Call.Service}, Fact{Name: "first", Value: *k.services[0].Load()})
	}
}

// observeCredential learns from an attempt with the usage u.
func (d *Diagnoser) observeCredential(o *classify.Observation, u *usage, second int64, failed bool) {
	k, p := u.key, &u.permission
	if k == &d.keys.other {
		if failed {
			d.keys.find(o.Credential).count(o.Verdict.Category)
		}
		return
	}
	if failed {
		k.count(o.Verdict.Category)
		k.failed.Store(second)
		d.observeRefusal(o, u, second)
	}
	switch o.Verdict.Outcome {
	case classify.OutcomeSuccess, classify.OutcomePartial, classify.OutcomeDryRun:
		if p.succeeded.Load() != second {
			p.succeeded.Store(second)
			k.succeeded.Store(second)
		}
		if k.refusals.Load() != 0 || p.denials.Load() != 0 {
			d.observeRecovery(o, u)
		}
	default:
	}
}

// count counts a failure.
func (k *key) count(c classify.Category) {
	if i := slices.Index(categories, c); i >= 0 {
		k.errors[i].Add(1)
	}
}

// observeRefusal learns from a failed attempt. A key or a permission that worked
// before counts as lost after several refusals in a row.
func (d *Diagnoser) observeRefusal(o *classify.Observation, u *usage, second int64) {
	k, p := u.key, &u.permission
	code := o.Verdict.CanonicalCode()
	why, cause := refusalOf(o, code)
	switch {
	case why != refusalNone:
		if k.refusals.Add(1) >= keyRefusals && k.succeeded.Load() != 0 && k.refusal.CompareAndSwap(refusalNone, why) {
			d.report(o, cause, SeverityWarn, sinceFacts(code, u.action, k.succeeded.Load(), k.refusals.Load())...)
		}
	case isOne(codesOfPolicy, code) && u.action != "":
		last := p.succeeded.Load()
		if p.denials.Add(1) >= keyRefusals && last != 0 && second-last >= int64(deniedFor/time.Second) && p.lost.CompareAndSwap(false, true) {
			k.denied.Add(1)
			d.report(o, CausePermissionLost, SeverityWarn, sinceFacts(code, u.action, last, p.denials.Load())...)
		}
	}
}

// observeRecovery learns from a success after refusals.
func (d *Diagnoser) observeRecovery(o *classify.Observation, u *usage) {
	k, p := u.key, &u.permission
	k.refusals.Store(0)
	denied := p.denials.Swap(0) != 0
	wasRefused := k.refusal.Swap(refusalNone) != refusalNone
	if p.lost.CompareAndSwap(true, false) {
		k.denied.Add(-1)
		wasRefused = true
	} else if denied {
		p.depends.Store(true)
	}
	if wasRefused {
		d.report(o, CauseKeyRecovered, SeverityInfo, Fact{Name: "action", Value: orDash(u.action)})
	}
}

// sinceFacts are the facts on a key or a permission that worked before.
func sinceFacts(code, action string, last, refusals int64) []Fact {
	return []Fact{
		{Name: "code", Value: code},
		{Name: "action", Value: orDash(action)},
		{Name: "last", Value: time.Unix(last, 0).UTC().Format(time.RFC3339)},
		{Name: "refusals", Value: strconv.FormatInt(refusals, 10)},
	}
}

// revoked returns the diagnosis of a key or permission that worked before, if the
// attempt, whose usage is u, was refused because of either.
func (d *Diagnoser) revoked(o *classify.Observation, u *usage) (Diagnosis, bool) {
	if u.key == &d.keys.other {
		return Diagnosis{}, false
	}
	code := o.Verdict.CanonicalCode()
	why, cause := refusalOf(o, code)
	switch last := u.permission.succeeded.Load(); {
	case why != refusalNone && u.key.succeeded.Load() != 0:
		sure := Likely
		if code == codeTokenExpired {
			sure = Certain
		}
		return say(cause, sure, sinceFacts(code, u.action, u.key.succeeded.Load(), u.key.refusals.Load())...), true
	case isOne(codesOfPolicy, code) && last != 0 && u.action != "":
		sure := Likely
		if u.permission.depends.Load() && !u.permission.lost.Load() {
			sure = Possible
		}
		return say(CausePermissionLost, sure, sinceFacts(code, u.action, last, u.permission.denials.Load())...), true
	}
	return Diagnosis{}, false
}

// Credential is what is known about a credential.
type Credential struct {
	Name string // the hash or alias; "" for attempts without a credential, OtherCredential for the rest
	// Errors is the number of failed attempts by category. Categories without
	// failures are absent.
	Errors map[classify.Category]uint64
	// Refused reports that the key has worked before and is refused now. Expired
	// reports the same of a temporary key, whose security token has expired.
	Refused, Expired bool
	// Denied is the number of actions that the key was allowed before and is
	// denied now.
	Denied int
}

// Credentials returns the known credentials, ordered by name.
func (d *Diagnoser) Credentials(now time.Time) []Credential {
	d.keys.mu.Lock()
	all := make([]*key, 0, len(d.keys.known)+1)
	for _, k := range d.keys.known {
		all = append(all, k)
	}
	d.keys.mu.Unlock()
	list := make([]Credential, 0, len(all)+1)
	for _, k := range append(all, &d.keys.other) {
		c := Credential{Name: k.name, Errors: make(map[classify.Category]uint64)}
		for i, category := range categories {
			if n := k.errors[i].Load(); n > 0 {
				c.Errors[category] = n
			}
		}
		if quiet := time.Duration(now.Unix()-k.failed.Load()) * time.Second; quiet < refusedMemory {
			why := k.refusal.Load()
			c.Refused, c.Expired = why == refusalRevoked, why == refusalExpired && quiet < expiredMemory
			c.Denied = int(max(0, k.denied.Load()))
		}
		if k == &d.keys.other {
			c.Name = OtherCredential
			if len(c.Errors) == 0 {
				continue
			}
		}
		list = append(list, c)
	}
	slices.SortFunc(list, func(a, b Credential) int { return cmp.Compare(a.Name, b.Name) })
	return list
}

// report reports what was noticed with the attempt o.
func (d *Diagnoser) report(o *classify.Observation, c Cause, severity Severity, facts ...Fact) {
	if d.notify == nil {
		return
	}
	d.notify(Notice{
		Time: o.End.UTC(), Credential: o.Credential, Service: o.Call.Service, Action: o.Call.Action, Region: o.Call.Region,
		RequestID: o.Verdict.RequestID.String(), Severity: severity,
		Diagnosis: say(c, Certain, facts...),
	})
}

// orDash returns s, or "-" if s is "".
func orDash(s string) string { return cmp.Or(s, "-") }
