package classify

// Catalog is a set of error entries, indexed for lookup. It does not change
// once made.
type Catalog struct{}

// Classifier reads requests and responses by one catalogue. It is safe for
// concurrent use.
type Classifier struct{}

// DefaultCatalog returns the catalogue that ships with the program.
func DefaultCatalog() *Catalog { return &Catalog{} }

// Extend returns a catalogue with the entries of a user's file added; an entry
// whose code is there already replaces it. name is used in errors, which tell
// line and mend.
func (c *Catalog) Extend(name string, data []byte) (*Catalog, error) { return c, nil }

// Entries returns all entries in the order of their files. They are not to be
// changed.
func (c *Catalog) Entries() []*Entry { return nil }

// Lookup returns the entry of that code or alias, compared without case.
func (c *Catalog) Lookup(code string) (*Entry, bool) { return nil, false }

// New returns a classifier that reads by cat.
func New(cat *Catalog) *Classifier { return &Classifier{} }

// Request reads what a request asks for. Called again with more of the body,
// it may know more.
func (c *Classifier) Request(r *Request) (Call, Secrets) { return Call{}, Secrets{} }

// Response reads what an answer to call means.
func (c *Classifier) Response(call *Call, r *Response) Verdict { return Verdict{} }

// Fault is the verdict on an attempt that got no whole answer: status is that
// of the answer that broke off, 0 if none began.
func (c *Classifier) Fault(f Fault, status int) Verdict { return Verdict{} }

// RedactTarget returns an origin-form request target with the values of every
// secret parameter replaced by REDACTED.
func RedactTarget(target []byte) string { return "" }

// Scrub returns message with every secret of the request it answers, and
// everything that looks like one, replaced by REDACTED.
func Scrub(message string, s Secrets) string { return message }
