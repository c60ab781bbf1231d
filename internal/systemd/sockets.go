package systemd

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/coreos/go-systemd/v22/activation"

	"github.com/ksyun-tap/ksyun-tap/usererror"
)

// Sockets are the sockets that the service manager opened for this process, by
// name (FileDescriptorName=).
type Sockets struct {
	listeners map[string][]net.Listener
	packets   map[string]net.PacketConn
}

// TakeSockets takes the sockets from the environment and unsets its variables.
// Sockets with a name in streams must be TCP, and there may be several of a name.
// Those in datagrams must be UDP, one of each name. Any other socket is an error.
// Variables are ignored if not all descriptors that they name are sockets.
func TakeSockets(streams, datagrams []string) (_ *Sockets, _ []usererror.Ignored, err error) {
	s := &Sockets{map[string][]net.Listener{}, map[string]net.PacketConn{}}
	if !socketsPassed(os.Getenv) {
		for _, name := range []string{"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"} {
			if err := os.Unsetenv(name); err != nil {
				return nil, nil, err
			}
		}
		return s, []usererror.Ignored{{Variable: "LISTEN_FDS", Reason: "not all of the descriptors that it names are sockets; none is taken"}}, nil
	}
	files := activation.Files(true)
	defer func() {
		for _, f := range files {
			f.Close() // the listeners below have copies
		}
		if err != nil {
			s.Close()
		}
	}()
	for _, f := range files {
		name := f.Name()
		switch {
		case slices.Contains(streams, name):
			ln, err := net.FileListener(f)
			if err == nil && ln.Addr().Network() != "tcp" {
				err = errors.Join(errors.New("it is "+ln.Addr().Network()), ln.Close())
			}
			if err != nil {
				return nil, nil, usererror.Wrap(fmt.Errorf("the socket %q from the service manager is not a TCP socket: %w", name, err), "write ListenStream=ADDRESS:PORT")
			}
			s.listeners[name] = append(s.listeners[name], ln)
		case slices.Contains(datagrams, name):
			pc, err := net.FilePacketConn(f)
			if err == nil && pc.LocalAddr().Network() != "udp" {
				err = errors.Join(errors.New("it is "+pc.LocalAddr().Network()), pc.Close())
			}
			if err != nil {
				return nil, nil, usererror.Wrap(fmt.Errorf("the socket %q from the service manager is not a UDP socket: %w", name, err), "write ListenDatagram=ADDRESS:PORT")
			}
			if s.packets[name] != nil {
				return nil, nil, errors.Join(usererror.New(fmt.Sprintf("the service manager passed two sockets named %q", name), "pass one"), pc.Close())
			}
			s.packets[name] = pc
		default:
			return nil, nil, usererror.New(fmt.Sprintf("the service manager passed a socket named %q", name),
				"write FileDescriptorName= and one of "+strings.Join(slices.Concat(streams, datagrams), ", "))
		}
	}
	return s, nil, nil
}

// socketsPassed reports whether all descriptors that the environment names are
// sockets, also where it names none for this process.
func socketsPassed(getenv func(string) string) bool {
	const first = 3 // by systemd's protocol
	pid, err := strconv.Atoi(getenv("LISTEN_PID"))
	if err != nil || pid != os.Getpid() {
		return true
	}
	n, err := strconv.Atoi(getenv("LISTEN_FDS"))
	if err != nil {
		return true
	}
	for fd := first; fd < first+n; fd++ {
		if !isSocket(fd) {
			return false
		}
	}
	return true
}

// Addresses returns the addresses of the sockets with a name.
func (s *Sockets) Addresses(name string) []string {
	if s == nil {
		return nil
	}
	var all []string
	for _, ln := range s.listeners[name] {
		all = append(all, ln.Addr().String())
	}
	if pc := s.packets[name]; pc != nil {
		all = append(all, pc.LocalAddr().String())
	}
	return all
}

// Listeners returns the listeners with a name, which then belong to the caller.
func (s *Sockets) Listeners(name string) []net.Listener {
	if s == nil {
		return nil
	}
	defer delete(s.listeners, name)
	return s.listeners[name]
}

// PacketConn returns the datagram socket with a name, or nil if there is none. It
// then belongs to the caller.
func (s *Sockets) PacketConn(name string) net.PacketConn {
	if s == nil {
		return nil
	}
	defer delete(s.packets, name)
	return s.packets[name]
}

// Close closes the sockets that were not taken by Listeners or PacketConn.
func (s *Sockets) Close() {
	if s == nil {
		return
	}
	for _, all := range s.listeners {
		for _, ln := range all {
			ln.Close()
		}
	}
	for _, pc := range s.packets {
		_ = pc.Close()
	}
}
