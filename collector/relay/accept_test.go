package relay

import (
	"net"
	"os"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/ksyun-tap/ksyun-tap/internal/rawconn"
)

// faultyListener fails before it accepts anything.
type faultyListener struct {
	net.Listener
	faults []error
}

func (l *faultyListener) Accept() (net.Conn, error) {
	if len(l.faults) > 0 {
		err := l.faults[0]
		l.faults = l.faults[1:]
		return nil, err
	}
	return l.Listener.Accept()
}

// TestAcceptFails has a listener go on after faults. Where descriptors run out, the
// connection that waits for a request is closed.
func TestAcceptFails(t *testing.T) {
	for name, tt := range map[string]struct {
		fault   error
		reclaim bool
	}{
		"no descriptors":             {syscall.EMFILE, true},
		"no descriptors in the host": {syscall.ENFILE, true},
		"another":                    {syscall.ECONNABORTED, false},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			waiting, up := r.serves()
			r.waits(1)
			fault := &net.OpError{Op: "accept", Err: os.NewSyscallError("accept4", tt.fault)}
			ln := &faultyListener{rawconn.Listen(t), []error{fault, fault}} // the second finds nothing to close
			served := make(chan error, 1)
			go func() { served <- r.srv.Serve(ln, r.intake(false)) }()
			c := r.dialTo(ln.Addr().String())
			c.Send(getRequest)
			r.upstream().Deliver(okResponse, c)
			if tt.reclaim {
				waiting.ExpectEnd()
				up.ExpectEnd()
			} else {
				r.ends(EndComplete)
				r.calls(waiting, up)
			}
			ln.Close()
			assert.ErrorIs(t, <-served, net.ErrClosed)
		})
	}
}
