package classify

import (
	"bytes"
	"time"

	"github.com/ksyun-tap/ksyun-tap/classify/internal/ascii"
	"github.com/ksyun-tap/ksyun-tap/classify/redact"
	"github.com/ksyun-tap/ksyun-tap/classify/syntax"
	"github.com/ksyun-tap/ksyun-tap/hostname"
)

// Call is the API call that a request makes. The strings may be retained and
// contain no secrets. "" means unknown.
type Call struct {
	Service string // "monitor"; lower case
	Action  string // "GetMetricStatistics", spelled as documented or else as sent; or SeveralActions
	Version string // "2010-05-25", as sent; not always a date
	Region  string // "cn-beijing-6"; lower case
	Host    string // host of the request, lower case, without port
	Signing Signing
	// SignedAt is the signing time given by the request. It is zero if there is
	// none or it cannot be parsed.
	SignedAt time.Time
	// DryRun reports that the request asks for a dry run.
	DryRun bool
	// Fingerprint identifies what the request asks for, so that attempts of one call
	// have the same one: see fingerprint. It is 0 if it is not known. It is only
	// comparable within one process.
	Fingerprint uint64
	// Unread is why a part of the request body was not read. It is set by the
	// collector.
	Unread Unread
}

// SeveralActions is the action of a request that names different actions in its
// query and form. It is not known which of them the vendor executes.
const SeveralActions = "_several"

// Signing is how a request was signed.
type Signing string

// The ways of signing that the API accepts.
const (
	SigningNone      Signing = "none"
	SigningSigV4     Signing = "sigv4"     // Authorization field
	SigningPresigned Signing = "presigned" // X-Amz-* in the query
	SigningSimple    Signing = "simple"    // Accesskey and Signature parameters
)

// Secrets holds the parts of a request that must not leave the tap. The slices
// alias the bytes of the request, undecoded. nil means absent.
type Secrets struct {
	AccessKey []byte
	Signature []byte
	Token     []byte // the security token
}

// maxName is the maximum length of a name, in bytes.
const maxName = 64

// call returns the Call for what was found.
func (c *Classifier) call(q *wanted, host []byte) Call {
	call := Call{
		Host:     c.host(host),
		Action:   c.action(q),
		Version:  c.name(&q.version).text,
		Signing:  q.signing(),
		SignedAt: q.signedAt(),
		DryRun:   isTrue(&q.dryRun),
	}
	call.Service, call.Region = c.place(q, call.Host)
	if call.Service == "" {
		call.Service = c.serviceOf(call.Action, call.Version)
	}
	return call
}

// action returns the action, in its documented spelling if it is documented.
func (c *Classifier) action(q *wanted) string {
	name := c.name(&q.action)
	switch {
	case q.several && name.text != "":
		return SeveralActions
	case len(name.actions) > 0:
		return name.actions[0].Name
	}
	return name.text
}

// serviceOf returns the service of an action, or "" if the action is not documented
// in that version.
func (c *Classifier) serviceOf(action, version string) string {
	var buf [maxName]byte
	for _, a := range c.actions[string(ascii.AppendLower(buf[:0], []byte(action)))] {
		if version == "" || a.Version == version {
			return a.Service
		}
	}
	return ""
}

// place returns service and region, from the scope, or else from the parameters, or
// else from the host.
func (c *Classifier) place(q *wanted, host string) (service, region string) {
	scope, enc := q.scope, encodedNot
	if scope == nil {
		_, scope = syntax.SplitCredential(q.credential.raw)
		enc = q.credential.enc
	}
	var buf [4 * maxName]byte
	p := param{raw: scope, enc: enc}
	inRegion, ofService := syntax.SplitScope(p.append(buf[:0]))
	service, region = c.named(ofService).lower, c.named(inRegion).lower
	var text [maxName]byte
	if service == "" {
		service = c.named(q.service.append(text[:0])).lower
	}
	if region == "" {
		region = c.named(q.region.append(text[:0])).lower
	}
	if service != "" && region != "" {
		return service, region
	}

	var name [hostname.MaxLength]byte
	hostService, hostRegion := syntax.ReadHost(append(name[:0], host...))
	if hostService == nil && hostRegion == nil {
		hostService, hostRegion = syntax.ReadHost(hostname.AppendLower(name[:0], q.host))
	}
	if service == "" {
		service = c.named(hostService).lower
	}
	if region == "" {
		region = c.named(hostRegion).lower
	}
	return service, region
}

// host returns the host of an authority, in lower case.
func (c *Classifier) host(authority []byte) string {
	if w := c.words.find(authority); w != nil && w.isHost {
		return w.text
	}
	var buf [hostname.MaxLength]byte
	return c.words.get(hostname.AppendLower(buf[:0], authority))
}

// noName is what is not a name.
var noName word

// name returns the name in p, or noName.
func (c *Classifier) name(p *param) *word {
	if w := c.words.find(p.raw); w != nil && w.isName {
		return w // names have no characters that are escaped
	}
	var buf [maxName]byte
	return c.named(bytes.TrimSpace(p.append(buf[:0])))
}

// named returns b as a name, or noName if it is not one.
func (c *Classifier) named(b []byte) *word {
	w := c.words.find(b)
	if w == nil && c.isOpenName(b) {
		w = c.words.add(b)
	}
	if w == nil || !w.isName {
		return &noName
	}
	return w
}

// isOpenName reports whether b is a name and does not look like a key.
func (c *Classifier) isOpenName(b []byte) bool {
	if !isName(b) {
		return false
	}
	if !redact.LooksKey(b) {
		return true
	}
	var buf [maxName]byte
	return c.actions[string(ascii.AppendLower(buf[:0], b))] != nil
}

// isName reports whether b has the form of the vendor's actions, versions, services
// and regions, so that it may be a label.
func isName(b []byte) bool {
	if len(b) == 0 || len(b) > maxName {
		return false
	}
	for _, c := range b {
		if !isNameByte(c) {
			return false
		}
	}
	return true
}

// isNameByte reports whether c may be part of a name.
func isNameByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '.' || c == '_' || c == '-'
}
