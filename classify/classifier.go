package classify

// Classifier classifies requests and responses using a catalogue. It is safe for
// concurrent use.
type Classifier struct {
	catalog *Catalog
	strings *interner
	dryRun  *Entry // the entry for dry runs; nil if the catalogue has none

	// The documented actions, by lower-case name.
	actions map[string][]Action
}

// New returns a classifier that uses cat.
func New(cat *Catalog) *Classifier {
	c := &Classifier{catalog: cat, strings: newInterner(), actions: make(map[string][]Action)}
	for _, e := range cat.entries {
		if e.DryRun {
			c.dryRun = e
			break
		}
	}
	// Reserve room for documented names before any are received.
	for _, a := range actions {
		c.actions[fold(a.Name)] = append(c.actions[fold(a.Name)], a)
		for _, s := range []string{a.Service, a.Name, a.Version} {
			c.strings.get([]byte(s))
		}
	}
	return c
}

// Catalog returns the catalogue that c uses.
func (c *Classifier) Catalog() *Catalog { return c.catalog }
