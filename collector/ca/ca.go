package ca

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// The defaults of Config, and how often Maintain looks.
const (
	DefaultValidity  = 30 * 24 * time.Hour
	DefaultCacheSize = 512
	MaintainInterval = time.Minute
)

// minValidity is the shortest an authority can be made for.
const minValidity = time.Hour

// Config is what a CA works by. Only Permitted is required.
type Config struct {
	// Dir keeps the key and what is published. It is made with mode 0700, and
	// refused if it is wider. "" keeps all in memory, for this process alone.
	Dir string
	// PublishDir takes ca.pem and bundle.pem instead of Dir, for programs of
	// other users that cannot look into Dir. It is made with mode 0755 if it
	// does not exist.
	PublishDir string
	// Permitted are the names to sign for: "host.example", or "*.example.com"
	// for all below. Another set than last time's makes another authority.
	Permitted []string
	// Validity is that of an authority; 0 is DefaultValidity, the least an hour.
	Validity time.Duration
	// Overlap is how long an authority is public before it signs, and so how
	// long a program can run on what it read at its start. 0 is half of
	// Validity, which is also the most.
	Overlap time.Duration
	// CacheSize limits the hosts whose leaves are kept; 0 is DefaultCacheSize.
	CacheSize int
	// Now is the clock; nil is time.Now.
	Now func() time.Time
	// Roots returns the certificates in PEM that programs trust without us;
	// nil is SystemRoots. It is asked at each Refresh.
	Roots func() ([]byte, error)
	// OnChange is told after the authorities changed, though not by Open;
	// OnError of each failure within Maintain. Both may be nil. They are called
	// on the goroutine that called the CA, with nothing locked.
	OnChange func()
	OnError  func(error)
}

// withDefaults fills in and checks.
func (cfg Config) withDefaults() (Config, error) {
	if cfg.Validity == 0 {
		cfg.Validity = DefaultValidity
	}
	if cfg.Overlap == 0 {
		cfg.Overlap = cfg.Validity / 2
	}
	if cfg.CacheSize == 0 {
		cfg.CacheSize = DefaultCacheSize
	}
	if cfg.PublishDir == "" {
		cfg.PublishDir = cfg.Dir
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Roots == nil {
		cfg.Roots = SystemRoots
	}
	if cfg.OnChange == nil {
		cfg.OnChange = func() {}
	}
	if cfg.OnError == nil {
		cfg.OnError = func(error) {}
	}
	switch {
	case cfg.Validity < minValidity:
		return cfg, fmt.Errorf("validity %v: want %v or more", cfg.Validity, minValidity)
	case cfg.Overlap < 0 || cfg.Overlap > cfg.Validity/2:
		return cfg, fmt.Errorf("overlap %v: want at most half of the validity, %v", cfg.Overlap, cfg.Validity/2)
	case cfg.CacheSize < 0:
		return cfg, fmt.Errorf("cache size %d: want 1 or more", cfg.CacheSize)
	case cfg.Dir == "" && cfg.PublishDir != "":
		return cfg, errors.New("a directory to publish in, but none to keep the key in")
	}
	return cfg, nil
}

// CA signs for the permitted hosts. Its methods are safe for concurrent use.
// Printed, it shows its fingerprint and nothing else.
type CA struct {
	permitted permitted
	validity  time.Duration
	overlap   time.Duration
	now       func() time.Time // without monotonic time, which stops while a machine sleeps
	roots     func() ([]byte, error)
	onChange  func()
	onError   func(error)
	cache     *cache

	mu    sync.Mutex // one change at a time; protects the field below
	store *store     // nil in memory

	view    atomic.Pointer[view]
	minted  atomic.Int64
	hits    atomic.Int64
	refused atomic.Int64
	made    atomic.Int64
	failed  atomic.Int64
}

// Open returns the CA of cfg.Dir, which is made if there is none, and has what
// programs are to trust published. Directories and files that others could
// read or change are refused; a key file that cannot be read is left alone.
// Processes may share a directory.
//
// Open starts no goroutine; call Maintain for rotation.
func Open(cfg Config) (*CA, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("open CA: %w", err)
	}
	names, err := parsePermitted(cfg.Permitted)
	if err != nil {
		return nil, fmt.Errorf("open CA: %w", err)
	}
	c := &CA{
		permitted: names,
		validity:  cfg.Validity,
		overlap:   cfg.Overlap,
		now:       func() time.Time { return cfg.Now().Round(0) },
		roots:     cfg.Roots,
		onChange:  func() {},
		onError:   cfg.OnError,
		cache:     newCache(cfg.CacheSize),
	}
	c.view.Store(&view{})
	if cfg.Dir != "" {
		if c.store, err = openStore(cfg.Dir, cfg.PublishDir); err != nil {
			return nil, fmt.Errorf("open CA: %w", err)
		}
	}
	if err := c.Refresh(); err != nil {
		return nil, fmt.Errorf("open CA: %w", err)
	}
	c.onChange = cfg.OnChange
	return c, nil
}

// Check returns what would keep Open from opening the CA of cfg, as far as that
// can be known without changing anything.
func Check(cfg Config) error {
	cfg, err := cfg.withDefaults()
	if err == nil {
		_, err = parsePermitted(cfg.Permitted)
	}
	if err == nil && cfg.Dir != "" {
		if !guarded {
			return errUnguarded
		}
		err = newStore(cfg.Dir, cfg.PublishDir).check()
	}
	if err == nil {
		_, err = cfg.Roots()
	}
	if err != nil {
		return fmt.Errorf("open CA: %w", err)
	}
	return nil
}

// Maintain refreshes every MaintainInterval until ctx is done: it makes the
// next authority in time, follows the changes of other processes and of the
// system's roots, and mends what was published. Failures are counted, told to
// Config.OnError, and tried again.
func (c *CA) Maintain(ctx context.Context) {
	t := time.NewTicker(MaintainInterval)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			if err := c.Refresh(); err != nil {
				c.onError(err)
			}
		}
	}
}

// Refresh does once what Maintain does again and again.
func (c *CA) Refresh() error {
	return c.change(func(all []*authority, now time.Time) ([]*authority, error) {
		if c.provided(all, now) {
			return all, nil
		}
		return c.appendNew(all, now)
	})
}

// Rotate makes the next authority now, unless there is one that waits to sign.
// It is published at once and signs after the overlap.
func (c *CA) Rotate() error {
	return c.change(func(all []*authority, now time.Time) ([]*authority, error) {
		current := (&view{all: all}).current(&c.permitted, now, c.overlap)
		waits := func(a *authority) bool {
			return a != current && c.suits(a, now) && (a.published.IsZero() || now.Before(a.published.Add(c.overlap)))
		}
		if slices.ContainsFunc(all, waits) {
			return all, nil
		}
		return c.appendNew(all, now)
	})
}

// Replace makes a new authority and forgets all others, for when a key may have
// been read by others. Programs must read the bundle anew to go on.
func (c *CA) Replace() error {
	return c.change(func(_ []*authority, now time.Time) ([]*authority, error) { return c.appendNew(nil, now) })
}

// provided reports whether no authority needs to be made.
func (c *CA) provided(all []*authority, now time.Time) bool {
	return slices.ContainsFunc(all, func(a *authority) bool { return c.suits(a, now) })
}

// suits reports whether a has the right names, and more to live than its
// successor must be public plus a leaf's life.
func (c *CA) suits(a *authority, now time.Time) bool {
	lead := c.overlap + min(leafLife, c.validity/4)
	return a.live(now) && now.Before(a.cert.NotAfter.Add(-lead)) &&
		slices.Equal(a.cert.PermittedDNSDomains, c.permitted.domains)
}

func (c *CA) appendNew(all []*authority, now time.Time) ([]*authority, error) {
	a, err := newAuthority(&c.permitted, now, c.validity)
	if err != nil {
		return nil, err
	}
	c.made.Add(1)
	return pruned(append(all, a), now), nil
}

// change has edit alter the authorities, keeps them and publishes them. What
// edit is given is its own.
func (c *CA) change(edit func(all []*authority, now time.Time) ([]*authority, error)) error {
	changed, err := c.changeLocked(edit)
	if err != nil {
		c.failed.Add(1)
	}
	if changed {
		c.onChange()
	}
	return err
}

func (c *CA) changeLocked(edit func(all []*authority, now time.Time) ([]*authority, error)) (changed bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now, old := c.now(), c.view.Load()
	if c.store == nil {
		all, err := edit(pruned(old.all, now), now)
		if err != nil {
			return false, err
		}
		return c.show(stamped(all, now)), nil
	}

	unlock, err := c.store.lock()
	if err != nil {
		return false, err
	}
	defer unlock()
	all, err := c.store.load()
	if err != nil {
		return false, err
	}
	if all == nil {
		all = slices.Clone(old.all) // someone emptied the directory: running programs still trust these
	}
	if all, err = edit(pruned(all, now), now); err != nil {
		return false, err
	}
	// The key is kept before its certificate is published, and the publication
	// noted after it: whichever step is the last, nothing is lost or used early.
	if err := c.store.save(all); err != nil {
		return false, err
	}
	v := &view{all: all}
	published, err := c.store.publish(v.certificates(v.current(&c.permitted, now, c.overlap)), c.roots)
	if !published {
		return c.show(all), err
	}
	all = stamped(all, now)
	if saveErr := c.store.save(all); saveErr != nil {
		return c.show(v.all), errors.Join(err, saveErr)
	}
	return c.show(all), err
}

// stamped returns all, with now for those that were not published before.
func stamped(all []*authority, now time.Time) []*authority {
	out := slices.Clone(all)
	for i, a := range out {
		if a.published.IsZero() {
			out[i] = a.withPublished(now)
		}
	}
	return out
}

// show makes all the authorities that sign. It reports whether they are others
// than before; the same leave the leaves as they are.
func (c *CA) show(all []*authority) (changed bool) {
	same := slices.EqualFunc(c.view.Load().all, all, func(a, b *authority) bool {
		return a.root.Equal(b.root) && a.published.Equal(b.published)
	})
	if !same {
		c.view.Store(&view{all: all})
	}
	return !same
}

// PEM returns the certificates to trust, without keys: what ca.pem holds.
func (c *CA) PEM() []byte {
	v := c.view.Load()
	return v.certificates(v.current(&c.permitted, c.now(), c.overlap))
}

// Bundle returns the roots and the certificates to trust: what bundle.pem
// holds.
func (c *CA) Bundle() ([]byte, error) {
	roots, err := c.roots()
	if err != nil {
		return nil, err
	}
	return mergeBundle(roots, c.PEM())
}

// NotAfter returns when the last authority expires: the end of interception,
// were there no rotation. Zero is none.
func (c *CA) NotAfter() time.Time {
	var last time.Time
	for _, a := range c.view.Load().all {
		if a.cert.NotAfter.After(last) {
			last = a.cert.NotAfter
		}
	}
	return last
}

// Fingerprint returns the SHA-256 of the root of what signs now, as openssl
// spells it; "" if there is none.
func (c *CA) Fingerprint() string {
	v := c.view.Load()
	if a := v.current(&c.permitted, c.now(), c.overlap); a != nil {
		return fingerprint(a.root.Raw)
	}
	return ""
}

// Authority is what may be told of one authority.
type Authority struct {
	Name        string // the root's common name
	Fingerprint string // SHA-256 of the root
	Permitted   []string
	NotBefore   time.Time
	NotAfter    time.Time
	Published   time.Time // zero if it could not be yet
	Signing     bool      // it signs new leaves
}

// Authorities returns all that programs are to trust, the oldest first.
func (c *CA) Authorities() []Authority {
	v := c.view.Load()
	current := v.current(&c.permitted, c.now(), c.overlap)
	all := make([]Authority, len(v.all))
	for i, a := range v.all {
		all[i] = describe(a.root)
		all[i].Published, all[i].Signing = a.published, a == current
	}
	return all
}

// ReadRoots reads what ca.pem holds: the authorities as programs see them.
func ReadRoots(data []byte) ([]Authority, error) {
	var all []Authority
	for len(bytes.TrimSpace(data)) > 0 {
		block, rest := nextBlock(data)
		if block == nil || block.Type != blockCert {
			return nil, errors.New("no certificate where one should be: have the tap publish it anew")
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, errors.New("a certificate cannot be read: have the tap publish it anew")
		}
		all = append(all, describe(cert))
		data = rest
	}
	return all, nil
}

func describe(root *x509.Certificate) Authority {
	return Authority{
		Name:        root.Subject.CommonName,
		Fingerprint: fingerprint(root.Raw),
		Permitted:   slices.Clone(root.PermittedDNSDomains),
		NotBefore:   root.NotBefore,
		NotAfter:    root.NotAfter,
	}
}

// Stats is a snapshot of a CA's counters.
type Stats struct {
	Minted      int64 // leaves made
	Hits        int64 // leaves served from the cache
	Refused     int64 // hosts not signed for
	Evicted     int64 // hosts pushed out of the cache
	Cached      int   // hosts in the cache now
	Authorities int   // trusted now
	Made        int64 // authorities made by this process
	Failures    int64 // of Refresh, Rotate and Replace
}

// Stats returns the counters.
func (c *CA) Stats() Stats {
	cached, evicted := c.cache.size()
	return Stats{
		Minted:      c.minted.Load(),
		Hits:        c.hits.Load(),
		Refused:     c.refused.Load(),
		Evicted:     evicted,
		Cached:      cached,
		Authorities: len(c.view.Load().all),
		Made:        c.made.Load(),
		Failures:    c.failed.Load(),
	}
}

// Format writes the fingerprint whatever the verb, so that no way of printing
// reaches the key.
func (c *CA) Format(f fmt.State, _ rune) {
	io.WriteString(f, "CA "+c.Fingerprint()) //nolint:errcheck // as fmt itself does
}
