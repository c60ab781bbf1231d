package diagnosis

import (
	"hash/maphash"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/classify/redact"
)

const (
	maxUses     = 1024        // maximum number of uses remembered
	recentUses  = 512         // size of the cache of uses
	activeTime  = tableMemory // a use is active this long after an attempt
	maxAgentKey = 80          // length of the part of a User-Agent that distinguishes programs, in bytes
)

// use is one way in which a program uses the API: the calls that have the same
// action, version, region, credential, signature form, scheme, program and client.
type use struct {
	// What each success needs comes first, so that it touches little memory.
	successes atomic.Uint64              // number of attempts that were calls that succeeded at once
	sampled   atomic.Int64               // time of the last sample of the clock, in seconds since the epoch
	address   uint64                     // hash of the address of the program
	usage     atomic.Pointer[row[usage]] // that its attempts belong to
	reads     bool                       // its action reads

	// What attempts are compared with. shown are the values of the dimensions of a scope,
	// as they are shown; agent is the beginning of the User-Agent.
	form                    form
	client                  netip.Addr // the address of the program
	shown                   [dimensions]string
	version, service, agent string

	others    atomic.Uint64                        // number of the other attempts
	failed    atomic.Int64                         // number of failures
	redundant [len(redundantReasons)]atomic.Uint64 // number of successes whose result was known
	// incident is the number of the last incident that shown was counted in, guarded by
	// incidents.mu.
	incident uint64

	act     *action // that its attempts belong to; it never changes
	scheme  string
	signing classify.Signing
	program string // the name and version of the program
	first   int64  // Unix seconds
}

// form distinguishes attempts by the form of their signature, the scheme, and who signed.
type form uint32

// formOf returns the form of an attempt.
func formOf(o *classify.Observation) form {
	f := form(len(o.Scheme))<<8 | form(len(o.Call.Signing)) //nolint:gosec // short; the lengths of the forms of signatures differ
	if o.Source == classify.SourceResign {                  // the tap signed the request
		f |= 1 << 16
	}
	return f
}

// count returns the number of attempts.
func (u *use) count() int64 { return int64(u.successes.Load() + u.others.Load()) } //nolint:gosec // below 2^63

// drop passes on what must outlast the use.
func (u *use) drop() {
	u.act.outcomes[indexSuccess].Add(u.successes.Load())
	for i := range u.redundant {
		u.act.redundant[i].Add(u.redundant[i].Load())
	}
}

// useKey returns the key of the use of an attempt.
func useKey(o *classify.Observation) uint64 {
	h := hashAddr(o.Client.Addr()) + uint64(formOf(o))
	for _, s := range [...]string{o.Call.Action, o.Credential, o.Call.Region, o.Call.Version, o.Call.Service} {
		h = h*31 + maphash.String(seed, s)
	}
	return h*31 + maphash.Bytes(seed, agentOf(o))
}

// is reports whether an attempt is of the use.
func (u *use) is(o *classify.Observation) bool {
	return u.shown[byAction] == o.Call.Action && u.shown[byCredential] == o.Credential && u.shown[byRegion] == o.Call.Region &&
		u.version == o.Call.Version && u.service == o.Call.Service && u.form == formOf(o) &&
		u.agent == string(agentOf(o)) && u.client == o.Client.Addr()
}

// agentOf returns the part of the User-Agent that distinguishes programs.
func agentOf(o *classify.Observation) []byte { return o.UserAgent[:min(len(o.UserAgent), maxAgentKey)] }

// uses remembers how the API is used.
type uses struct {
	table[use]
	// recent is a cache of rows, whose keys take longer to compute than to check.
	recent [recentUses]atomic.Pointer[row[use]]
}

// recentOf returns the slot of recent where the use of an attempt may be.
func (t *uses) recentOf(o *classify.Observation) *atomic.Pointer[row[use]] {
	h := uint64(len(o.UserAgent))
	h = mix(mix(mix(h, o.Call.Action), o.Credential), o.Call.Region)
	return &t.recent[h*0x9E3779B97F4A7C15>>32%recentUses]
}

// mix adds to a hash what usually distinguishes s from other names.
func mix(h uint64, s string) uint64 {
	h = h*31 + uint64(len(s))
	if len(s) > 1 {
		h = h*31 + uint64(s[len(s)-1])<<8 + uint64(s[len(s)-2])
	}
	return h
}

// useOf returns the use of an attempt, which it adds with its usage if it is new. It
// returns nil if there is no room.
func (d *Diagnoser) useOf(o *classify.Observation, key uint64, second int64, usage *row[usage]) (*row[use], bool) {
	return d.uses.add(key, second, func(u *use) {
		u.service, u.version, u.signing, u.scheme = o.Call.Service, o.Call.Version, o.Call.Signing, o.Scheme
		u.agent, u.client, u.form = string(agentOf(o)), o.Client.Addr(), formOf(o)
		u.program, u.address, u.first = ProgramOf(u.agent), hashAddr(u.client), second
		u.shown = [dimensions]string{redact.Text(o.Call.Action), redact.Text(o.Call.Region), o.Credential, u.caller()}
		u.act = usage.value.act
		if usage == &d.noUsage {
			u.act = d.actions.of(actionName{u.service, o.Call.Action})
		}
		u.reads = u.act.reads
		u.usage.Store(usage)
	}, func(u *use) {
		u.drop()
		for i := range d.uses.recent { // so that its memory is freed
			if e := d.uses.recent[i].Load(); e != nil && &e.value == u {
				d.uses.recent[i].CompareAndSwap(e, nil)
			}
		}
	})
}

// introduce notes the first use of a credential or a program, unless it is one of
// the first uses of all.
func (t *uses) introduce(u *use, h *happenings, now time.Time) {
	settled, key, program := false, u.shown[byCredential] != "", true
	for e := range t.all {
		other := &e.value
		if other == u {
			continue
		}
		settled = settled || u.first-other.first >= int64(eventReach/time.Second)
		key = key && other.shown[byCredential] != u.shown[byCredential]
		program = program && other.program != u.program
	}
	if settled && program {
		h.note(TriggerProgram, now)
	}
	if settled && key {
		h.note(TriggerKey, now)
	}
}

// active reports whether the row was used lately.
func (e *row[T]) active(now time.Time) bool { return !e.used.idle(now.Unix()) }

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
	name := product // shares its memory with agent
	if _, version, found := strings.Cut(product, "/"); found {
		_, rest, _ := strings.Cut(version, ".")
		if _, patch, found := strings.Cut(rest, "."); found {
			name = product[:len(product)-len(patch)-1]
		}
	}
	for _, c := range []byte(name) {
		plain := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("._-+/", c) >= 0
		if !plain {
			return programOther
		}
	}
	if len(name) > maxProgram || redact.LooksKey(name) || redact.LooksSecret(name) {
		return programOther
	}
	return name
}
