package diagnosis

import (
	"hash/maphash"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ksyun-tap/ksyun-tap/classify"
)

const (
	maxUses     = 1024             // maximum number of uses remembered
	useProbes   = 8                // number of slots where a use may be stored
	recentUses  = 64               // number of connections whose last use is at hand
	activeTime  = 15 * time.Minute // a use is active this long after an attempt
	maxAgentKey = 256              // of a User-Agent, in bytes
)

// use is one way in which a program uses the API: the calls that have the same
// action, version, region, credential, signature form, scheme, program and client.
type use struct {
	service, action, version, region, credential string

	signing classify.Signing
	scheme  string
	agent   string     // the first maxAgentKey bytes of the User-Agent; not for output
	program string     // the name and version of the program, for output
	client  netip.Addr // the address of the program

	resigned bool // the tap signed the requests

	// usage and clock are what other analysers look up for attempts of this use.
	usage atomic.Pointer[usage]
	clock atomic.Pointer[clock]

	// shown are the values of the dimensions of a scope, for output. incident is the
	// number of the last incident that they were counted in, guarded by incidents.mu.
	shown    [dimensions]string
	incident uint64

	first       int64        // Unix seconds
	last, count atomic.Int64 // Unix seconds; number of attempts
	failed      atomic.Int64 // number of failures
}

// is reports whether the attempt is of this use.
func (u *use) is(o *classify.Observation, client netip.Addr) bool {
	agent := o.UserAgent[:min(len(o.UserAgent), maxAgentKey)]
	return u.action == o.Call.Action && u.credential == o.Credential && u.region == o.Call.Region &&
		u.version == o.Call.Version && u.service == o.Call.Service && u.signing == o.Call.Signing &&
		u.scheme == o.Scheme && u.agent == string(agent) && u.client == client &&
		u.resigned == (o.Source == classify.SourceResign)
}

// seen counts an attempt.
func (u *use) seen(second int64) {
	u.count.Add(1)
	if u.last.Load() != second {
		u.last.Store(second)
	}
}

// uses remembers how the API is used. Its memory is bounded by maxUses: a new use
// takes the place of one that is no longer active, or is not remembered.
type uses struct {
	// recent holds the last use of a connection, by the port of the program.
	recent [recentUses]atomic.Pointer[use]
	slots  [maxUses]atomic.Pointer[use]
	seed   maphash.Seed

	unlisted atomic.Int64 // number of attempts of uses that are not remembered

	mu sync.Mutex // held while a slot is assigned to a use
}

// observe counts an attempt. It returns its use, or nil if there is no room for it.
func (t *uses) observe(o *classify.Observation) (u *use, isNew bool) {
	client, second := o.Client.Addr(), o.End.Unix()
	recent := &t.recent[o.Client.Port()%recentUses]
	if u := recent.Load(); u != nil && u.is(o, client) {
		u.seen(second)
		return u, false
	}
	at := t.slot(o, client)
	for i := range uint64(useProbes) {
		if u := t.slots[(at+i)%maxUses].Load(); u != nil && u.is(o, client) {
			u.seen(second)
			recent.Store(u)
			return u, false
		}
	}
	if u = t.place(o, client, at, second); u == nil {
		t.unlisted.Add(1)
	}
	return u, u != nil
}

// slot returns the index of the first slot where the use of an attempt may be.
func (t *uses) slot(o *classify.Observation, client netip.Addr) uint64 {
	h := first(client)
	for _, s := range [...]string{o.Call.Action, o.Call.Version, o.Call.Region, o.Credential, o.Scheme, string(o.Call.Signing)} {
		h = h*31 + maphash.String(t.seed, s)
	}
	return h*31 + maphash.Bytes(t.seed, o.UserAgent[:min(len(o.UserAgent), maxAgentKey)])
}

// place stores the use of an attempt. It returns nil if there is no slot for it.
func (t *uses) place(o *classify.Observation, client netip.Addr, at uint64, second int64) *use {
	if !t.mu.TryLock() {
		return nil
	}
	defer t.mu.Unlock()
	for i := range uint64(useProbes) {
		slot := &t.slots[(at+i)%maxUses]
		if old := slot.Load(); old != nil && second-old.last.Load() <= int64(activeTime/time.Second) {
			continue
		}
		agent := string(o.UserAgent[:min(len(o.UserAgent), maxAgentKey)])
		u := &use{
			// Not copied: equal strings with the same bytes are compared fast.
			service: o.Call.Service, action: o.Call.Action, version: o.Call.Version, region: o.Call.Region, credential: o.Credential,
			signing: o.Call.Signing, scheme: o.Scheme, agent: agent, program: ProgramOf(agent), client: client,
			resigned: o.Source == classify.SourceResign, first: second,
		}
		u.shown = [dimensions]string{classify.Scrub(u.action), classify.Scrub(u.region), u.credential, u.caller()}
		u.seen(second)
		slot.Store(u)
		return u
	}
	return nil
}

// introduce notes the first use of a credential or a program, unless it is one of
// the first uses of all.
func (t *uses) introduce(u *use, h *happenings, now time.Time) {
	settled, key, program := false, u.credential != "", true
	for other := range t.all {
		if other == u {
			continue
		}
		settled = settled || u.first-other.first >= int64(eventReach/time.Second)
		key = key && other.credential != u.credential
		program = program && other.program != u.program
	}
	if settled && program {
		h.note(TriggerProgram, now)
	}
	if settled && key {
		h.note(TriggerKey, now)
	}
}

// all yields every use.
func (t *uses) all(yield func(*use) bool) {
	for i := range t.slots {
		if u := t.slots[i].Load(); u != nil && !yield(u) {
			return
		}
	}
}

// active reports whether the use had an attempt lately.
func (u *use) active(now time.Time) bool {
	return now.Unix()-u.last.Load() <= int64(activeTime/time.Second)
}

// caller returns what distinguishes one program from another: its name, and its
// address if it runs elsewhere.
func (u *use) caller() string {
	if !u.client.IsValid() || u.client.IsLoopback() {
		return u.program
	}
	return u.program + " " + u.client.Unmap().String()
}

// The names of programs without a usable User-Agent.
const (
	programUnknown = "unknown"
	programOther   = "_other"
	maxProgram     = 64 // bytes
)

// ProgramOf returns the first product of a User-Agent with the first two numbers of
// its version, such as aws-sdk-go/1.25.
func ProgramOf(agent string) string {
	product, _, _ := strings.Cut(strings.TrimSpace(agent), " ")
	if product == "" {
		return programUnknown
	}
	name, version, found := strings.Cut(product, "/")
	if found {
		parts := strings.SplitN(version, ".", 3)
		name += "/" + strings.Join(parts[:min(len(parts), 2)], ".")
	}
	for _, c := range []byte(name) {
		plain := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("._-+/", c) >= 0
		if !plain {
			return programOther
		}
	}
	if len(name) > maxProgram || classify.LooksKey(name) || classify.LooksSecret(name) {
		return programOther
	}
	return name
}
