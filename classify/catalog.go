package classify

// Entry is one row of the error catalogue.
type Entry struct {
	// Code is the vendor's name of the error in its documented casing, or, by
	// Grade, our name for a row whose code nobody has published.
	Code    string
	Aliases []string // other spellings seen
	Grade   Grade    // what Code rests on
	Row     int      // row of the vendor's table (1 to 20); 0 if not in it

	Statuses []int    // HTTP statuses it comes with
	Messages []string // patterns of its messages: literal text, * for any run
	Example  string   // a message as the vendor words it

	Type      Type
	Category  Category
	Blame     Blame
	Retryable bool

	Meaning string // what it means, one sentence
	Advice  string // what to do, one or two sentences
	Source  string // where the row is from
}

// Grade tells what a catalogue entry's code rests on.
type Grade string

// The grades.
const (
	GradeDocumented  Grade = "documented"  // read in the vendor's documents or seen in its software
	GradeInferred    Grade = "inferred"    // a guess: never decides alone
	GradePlaceholder Grade = "placeholder" // our own name: the wire's code is not known
)
