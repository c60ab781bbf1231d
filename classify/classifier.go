package classify

// Classifier reads requests and responses by one catalogue. It is safe for
// concurrent use.
type Classifier struct {
	catalog *Catalog
	strings *interner
	dryRun  *Entry // the row of a dry run, nil if the catalogue has none

	// The documented actions, by name in lower case.
	actions map[string][]Action
}

// New returns a classifier that reads by cat.
func New(cat *Catalog) *Classifier {
	c := &Classifier{catalog: cat, strings: newInterner(), actions: make(map[string][]Action)}
	for _, e := range cat.entries {
		if e.DryRun {
			c.dryRun = e
			break
		}
	}
	// What is documented has its place before anything a stranger sends.
	for _, a := range actions {
		c.actions[fold(a.Name)] = append(c.actions[fold(a.Name)], a)
		for _, s := range []string{a.Service, a.Name, a.Version} {
			c.strings.get([]byte(s))
		}
	}
	return c
}

// Catalog returns the catalogue c reads by.
func (c *Classifier) Catalog() *Catalog { return c.catalog }
