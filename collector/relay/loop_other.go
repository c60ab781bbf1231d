//go:build !linux

package relay

// There are no loops on this system: every pair has a blocking driver.
type loop struct{}

type looped struct{ on *loop }

func (*looped) broken() bool { return false }

func (*looped) unread() bool { return false }

func newLoops(*Server) []*loop { return nil }

func (p *pair) toLoop(*link) bool { return false }

func (l *loop) post(*pair, func()) {}

func (l *loop) drain(*pair) {}

func (l *loop) yield(*pair) {}

func (l *loop) kill(*pair) {}

func (l *loop) stop() {}
