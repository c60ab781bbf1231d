package ca

import (
	"bytes"
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/ksyun-tap/ksyun-tap/usererror"
)

// The defaults of Config, and the interval of Maintain.
const (
	DefaultValidity  = 30 * 24 * time.Hour
	DefaultCacheSize = 512
	MaintainInterval = time.Minute
)

// minValidity is the shortest Config.Validity.
const minValidity = time.Hour

// Config configures a CA. Only Permitted is required.
type Config struct {
	// Dir is the directory of the key. It is created with mode 0700, and refused
	// if others can access it. If empty, the CA exists in memory only.
	Dir string
	// PublishDir is the directory of ca.pem and bundle.pem. If empty, it is Dir,
	// which programs of other users cannot read. It is created with mode 0755 if
	// it does not exist.
	PublishDir string
	// Permitted are the names to sign for: "host.example", or "*.example.com"
	// for all names below a domain. If they differ from those of the last start,
	// a new authority is created.
	Permitted []string
	// Validity is the lifetime of an authority, at least one hour. 0 means
	// DefaultValidity.
	Validity time.Duration
	// Overlap is how long an authority is published before it signs, which is
	// how long a program can keep running with the bundle that it read when it
	// started. It is at most half of Validity; 0 means half of Validity.
	Overlap time.Duration
	// CacheSize limits the number of cached leaf certificates. 0 means
	// DefaultCacheSize.
	CacheSize int
	// Now is the clock. If nil, it is time.Now.
	Now func() time.Time
	// Roots returns the PEM certificates that programs trust without us. It is
	// called by each Refresh. If nil, it is SystemRoots.
	Roots func() ([]byte, error)
	// OnError, if not nil, is called for each error within Maintain, on its
	// goroutine.
	OnError func(error)
}

// withDefaults returns cfg with defaults in place of zero values, or an error if a value
// is not valid.
func (cfg Config) withDefaults() (Config, error) {
	cfg.Validity = cmp.Or(cfg.Validity, DefaultValidity)
	cfg.Overlap = cmp.Or(cfg.Overlap, cfg.Validity/2)
	cfg.CacheSize = cmp.Or(cfg.CacheSize, DefaultCacheSize)
	cfg.PublishDir = cmp.Or(cfg.PublishDir, cfg.Dir)
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Roots == nil {
		cfg.Roots = SystemRoots
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
		return cfg, errors.New("there is a publish directory, but no directory for the key")
	}
	return cfg, nil
}

// CA signs certificates for the permitted hosts. It is safe for concurrent use.
// Formatted with fmt, it shows its fingerprint and nothing else.
type CA struct {
	cfg       Config
	permitted permitted
	cache     *cache
	flights   singleflight.Group // leaves that are being created, by host

	mu    sync.Mutex // serialises changes
	store *store     // nil if the CA exists in memory only

	view   atomic.Pointer[view]
	minted atomic.Int64
	hits   atomic.Int64
}

// now returns the time without a monotonic reading, which stops while a machine sleeps.
func (c *CA) now() time.Time { return c.cfg.Now().Round(0) }

// Open returns the CA in cfg.Dir and publishes ca.pem and bundle.pem. If there is no CA
// yet, Open creates one. It returns an error if others can read or change the
// directories and files. A damaged key file is an error, too, and is not overwritten.
// Several processes may share a directory.
//
// Open starts no goroutine. Call Maintain for rotation.
func Open(cfg Config) (*CA, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("open CA: %w", err)
	}
	names, err := parsePermitted(cfg.Permitted)
	if err != nil {
		return nil, fmt.Errorf("open CA: %w", err)
	}
	c := &CA{cfg: cfg, permitted: names, cache: newCache(cfg.CacheSize)}
	c.view.Store(&view{})
	if cfg.Dir != "" {
		if c.store, err = openStore(cfg.Dir, cfg.PublishDir); err != nil {
			return nil, fmt.Errorf("open CA: %w", err)
		}
	}
	if err := c.Refresh(); err != nil {
		return nil, fmt.Errorf("open CA: %w", err)
	}
	return c, nil
}

// Check returns the error that Open would, as far as it can be determined
// without changing anything.
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

// Maintain calls Refresh every MaintainInterval until ctx is done. Errors are passed
// to Config.OnError.
func (c *CA) Maintain(ctx context.Context) {
	t := time.NewTicker(MaintainInterval)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			if err := c.Refresh(); err != nil {
				c.cfg.OnError(err)
			}
		}
	}
}

// Refresh creates the next authority if it is due, loads changes of other
// processes, and publishes ca.pem and bundle.pem again if they are missing or
// differ, for example because the system's roots changed.
func (c *CA) Refresh() error {
	return c.change(func(all []*authority, now time.Time) ([]*authority, error) {
		if c.provided(all, now) {
			return all, nil
		}
		return c.appendNew(all, now)
	})
}

// provided reports whether no new authority is needed.
func (c *CA) provided(all []*authority, now time.Time) bool {
	return slices.ContainsFunc(all, func(a *authority) bool { return c.suits(a, now) })
}

// suits reports whether a has the permitted names, and remains valid for longer
// than its successor must be published plus the lifetime of a leaf.
func (c *CA) suits(a *authority, now time.Time) bool {
	lead := c.cfg.Overlap + min(leafLife, c.cfg.Validity/4)
	return a.live(now) && now.Before(a.cert.NotAfter.Add(-lead)) &&
		slices.Equal(a.cert.PermittedDNSDomains, c.permitted.domains)
}

// appendNew returns all with a new authority, without those that have expired.
func (c *CA) appendNew(all []*authority, now time.Time) ([]*authority, error) {
	a, err := newAuthority(&c.permitted, now, c.cfg.Validity)
	if err != nil {
		return nil, err
	}
	return pruned(append(all, a), now), nil
}

// change replaces the authorities by what edit returns, saves and publishes
// them. edit may modify its argument.
func (c *CA) change(edit func(all []*authority, now time.Time) ([]*authority, error)) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	now, old := c.now(), c.view.Load()
	if c.store == nil {
		all, err := edit(pruned(old.all, now), now)
		if err != nil {
			return err
		}
		c.show(stamped(all, now))
		return nil
	}

	unlock, err := c.store.lock()
	if err != nil {
		return err
	}
	defer unlock()
	all, err := c.store.load()
	if err != nil {
		return err
	}
	if all == nil {
		all = slices.Clone(old.all) // the directory was emptied, but running programs still trust these
	}
	if all, err = edit(pruned(all, now), now); err != nil {
		return err
	}
	// The key is saved before its certificate is published, and the time of
	// publication after it. Wherever this stops, no key is lost and none is used
	// before programs could trust it.
	if err := c.store.save(all); err != nil {
		return err
	}
	v := &view{all: all}
	published, err := c.store.publish(v.certificates(v.current(&c.permitted, now, c.cfg.Overlap)), c.cfg.Roots)
	if !published {
		c.show(all)
		return err
	}
	all = stamped(all, now)
	if saveErr := c.store.save(all); saveErr != nil {
		c.show(v.all)
		return errors.Join(err, saveErr)
	}
	c.show(all)
	return err
}

// stamped returns a copy of all in which unpublished authorities are published
// at now.
func stamped(all []*authority, now time.Time) []*authority {
	out := slices.Clone(all)
	for i, a := range out {
		if a.published.IsZero() {
			out[i] = a.withPublished(now)
		}
	}
	return out
}

// show makes all the current authorities. If nothing changed, the view stays,
// and with it the cached leaves.
func (c *CA) show(all []*authority) {
	same := slices.EqualFunc(c.view.Load().all, all, func(a, b *authority) bool {
		return a.root.Equal(b.root) && a.published.Equal(b.published)
	})
	if !same {
		c.view.Store(&view{all: all})
	}
}

// PEM returns the root certificates to trust, without keys: the contents of
// ca.pem.
func (c *CA) PEM() []byte {
	v := c.view.Load()
	return v.certificates(v.current(&c.permitted, c.now(), c.cfg.Overlap))
}

// NotAfter returns when the last authority expires, which is when interception
// ends unless Maintain creates another. It is zero if there is no authority.
func (c *CA) NotAfter() time.Time {
	var last time.Time
	for _, a := range c.view.Load().all {
		if a.cert.NotAfter.After(last) {
			last = a.cert.NotAfter
		}
	}
	return last
}

// Fingerprint returns the SHA-256 of the root of the authority that signs now,
// in the format of openssl. It is "" if there is no authority.
func (c *CA) Fingerprint() string {
	v := c.view.Load()
	if a := v.current(&c.permitted, c.now(), c.cfg.Overlap); a != nil {
		return fingerprint(a.root.Raw)
	}
	return ""
}

// Authority describes the root certificate of an authority.
type Authority struct {
	Name        string // the root's common name
	Fingerprint string // SHA-256 of the root
	Permitted   []string
	NotBefore   time.Time
	NotAfter    time.Time
}

// ReadRoots parses the contents of ca.pem.
func ReadRoots(data []byte) ([]Authority, error) {
	var all []Authority
	for len(bytes.TrimSpace(data)) > 0 {
		block, rest := nextBlock(data)
		if block == nil || block.Type != blockCert {
			return nil, usererror.New("it holds something other than certificates", "restart the tap, which publishes it again")
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, usererror.New("a certificate cannot be parsed", "restart the tap, which publishes it again")
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

// Stats is a snapshot of the counters of a CA's cache, for tests.
type Stats struct {
	Minted  int64 // leaves created
	Hits    int64 // leaves served from the cache
	Evicted int64 // hosts evicted from the cache
	Cached  int   // hosts in the cache now
}

// Stats returns the current values of the counters.
func (c *CA) Stats() Stats {
	cached, evicted := c.cache.size()
	return Stats{Minted: c.minted.Load(), Hits: c.hits.Load(), Evicted: evicted, Cached: cached}
}

// Format writes the fingerprint for every verb, so that formatting a CA cannot
// reveal the key.
func (c *CA) Format(f fmt.State, _ rune) {
	io.WriteString(f, "CA "+c.Fingerprint()) //nolint:errcheck // as fmt itself does
}
