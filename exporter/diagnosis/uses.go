package diagnosis

import (
	"hash/maphash"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	"github.com/ksyun-tap/ksyun-tap/classify"
)

const (
	maxUses     = 1024        // maximum number of uses remembered
	recentUses  = 512         // size of the cache of uses
	activeTime  = tableMemory // a use is active this long after an attempt
	maxAgentKey = 256         // of a User-Agent, in bytes
)

// use is one way in which a program uses the API: the calls that have the same
// action, version, region, credential, signature form, scheme, program and client.
type use struct {
	count   atomic.Int64 // number of attempts
	failed  atomic.Int64 // number of failures
	sampled atomic.Int64 // time of the last sample of the clock, in seconds since the epoch
	address uint64       // hash of the address of the program

	usage atomic.Pointer[row[usage]] // that its attempts belong to

	action, credential, region, version, service string

	signing  classify.Signing
	scheme   string
	agent    uint64     // hash of the User-Agent
	client   netip.Addr // the address of the program
	resigned bool       // the tap signed the requests

	program string // the name and version of the program

	// shown are the values of the dimensions of a scope, for output. incident is the
	// number of the last incident that they were counted in, guarded by incidents.mu.
	shown    [dimensions]string
	incident uint64

	first int64 // Unix seconds
}

// useKey returns the key of the use of an attempt.
func useKey(o *classify.Observation) uint64 {
	form := uint64(len(o.Scheme))<<8 | uint64(len(o.Call.Signing)) // the lengths of the forms of signatures differ
	if o.Source == classify.SourceResign {                         // the tap signed the request
		form |= 1 << 16
	}
	h := hashAddr(o.Client.Addr()) + form
	for _, s := range [...]string{o.Call.Action, o.Credential, o.Call.Region, o.Call.Version, o.Call.Service} {
		h = h*31 + maphash.String(seed, s)
	}
	return h*31 + hashAgent(o)
}

// is reports whether an attempt is of the use.
func (u *use) is(o *classify.Observation) bool {
	return u.action == o.Call.Action && u.credential == o.Credential && u.region == o.Call.Region &&
		u.version == o.Call.Version && u.service == o.Call.Service && u.signing == o.Call.Signing &&
		u.scheme == o.Scheme && u.agent == hashAgent(o) && u.client == o.Client.Addr() &&
		u.resigned == (o.Source == classify.SourceResign)
}

// hashAgent returns the hash of the part of the User-Agent that distinguishes programs.
func hashAgent(o *classify.Observation) uint64 {
	return maphash.Bytes(seed, o.UserAgent[:min(len(o.UserAgent), maxAgentKey)])
}

// uses remembers how the API is used.
type uses struct {
	table[use]
	// recent is a cache of keys, which take longer to compute than to check.
	recent [recentUses]atomic.Uint64
}

// recentOf returns the slot of recent where the key of the use of an attempt may be.
func (t *uses) recentOf(o *classify.Observation) *atomic.Uint64 {
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

// add adds the use of an attempt, with its usage. It returns nil if there is no room.
func (t *uses) add(o *classify.Observation, key uint64, second int64, usage *row[usage]) (*row[use], bool) {
	return t.table.add(key, second, func(u *use) {
		u.service, u.action, u.version, u.region = o.Call.Service, o.Call.Action, o.Call.Version, o.Call.Region
		u.credential, u.signing, u.scheme = o.Credential, o.Call.Signing, o.Scheme
		u.agent, u.client, u.resigned = hashAgent(o), o.Client.Addr(), o.Source == classify.SourceResign
		u.program, u.address, u.first = ProgramOf(string(o.UserAgent[:min(len(o.UserAgent), maxAgentKey)])), hashAddr(u.client), second
		u.shown = [dimensions]string{classify.Scrub(u.action), classify.Scrub(u.region), u.credential, u.caller()}
		u.usage.Store(usage)
	}, nil)
}

// introduce notes the first use of a credential or a program, unless it is one of
// the first uses of all.
func (t *uses) introduce(u *use, h *happenings, now time.Time) {
	settled, key, program := false, u.credential != "", true
	for e := range t.all {
		other := &e.value
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
