package upstream

import (
	"errors"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/ksyun-tap/ksyun-tap/classify"
)

func TestDialErrors(t *testing.T) {
	op := func(err error) error { return &net.OpError{Op: "dial", Net: "tcp", Err: err} }
	for _, tt := range []struct {
		err  error
		want classify.Fault
	}{
		{op(&net.DNSError{Err: "no such host", IsNotFound: true}), classify.FaultDNS},
		{op(&net.DNSError{Err: "i/o timeout", IsTimeout: true}), classify.FaultDNS},
		{op(os.NewSyscallError("connect", syscall.ECONNREFUSED)), classify.FaultConnRefused},
		{op(os.NewSyscallError("connect", syscall.EHOSTUNREACH)), classify.FaultUnreachable},
		{op(os.NewSyscallError("connect", syscall.ENETUNREACH)), classify.FaultUnreachable},
		{op(os.NewSyscallError("connect", syscall.ETIMEDOUT)), classify.FaultDialTimeout},
		{op(os.ErrDeadlineExceeded), classify.FaultDialTimeout},
		{op(ownAddress("h")), classify.FaultLoop},
		{errors.New("anything"), classify.FaultUnreachable},
	} {
		if got := dialError(tt.err, "h"); got.Fault != tt.want || !strings.Contains(got.Message, " h ") {
			t.Errorf("%v: %+v, want %q", tt.err, got, tt.want)
		}
	}
}
