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
)

// Sockets are the sockets that the service manager opened for this process, by
// the names it gave them (FileDescriptorName=).
type Sockets struct {
	listeners map[string][]net.Listener
	packets   map[string]net.PacketConn
}

// TakeSockets takes the sockets over from the environment, and out of it. Those
// named in streams are TCP and may be many of a name, those in datagrams are UDP
// and one each; any other is an error. Variables that name descriptors which are
// no sockets are no service manager's, and ignored.
func TakeSockets(streams, datagrams []string) (_ *Sockets, _ []Problem, err error) {
	s := &Sockets{map[string][]net.Listener{}, map[string]net.PacketConn{}}
	if !socketsPassed(os.Getenv) {
		for _, name := range []string{"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"} {
			if err := os.Unsetenv(name); err != nil {
				return nil, nil, err
			}
		}
		return s, []Problem{{"LISTEN_FDS", "not all of the descriptors that it names are sockets; none is taken"}}, nil
	}
	files := activation.Files(true)
	defer func() {
		for _, f := range files {
			f.Close() // the sockets below are copies
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
				return nil, nil, fmt.Errorf("the socket %q from the service manager is not for TCP: %w: write ListenStream=ADDRESS:PORT", name, err)
			}
			s.listeners[name] = append(s.listeners[name], ln)
		case slices.Contains(datagrams, name):
			pc, err := net.FilePacketConn(f)
			if err == nil && pc.LocalAddr().Network() != "udp" {
				err = errors.Join(errors.New("it is "+pc.LocalAddr().Network()), pc.Close())
			}
			if err != nil {
				return nil, nil, fmt.Errorf("the socket %q from the service manager is not for UDP: %w: write ListenDatagram=ADDRESS:PORT", name, err)
			}
			if s.packets[name] != nil {
				return nil, nil, errors.Join(fmt.Errorf("the service manager gave two sockets named %q: one is all that is taken", name), pc.Close())
			}
			s.packets[name] = pc
		default:
			return nil, nil, fmt.Errorf("the service manager gave a socket named %q: write FileDescriptorName= and one of %s",
				name, strings.Join(slices.Concat(streams, datagrams), ", "))
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

// Addresses are those of the sockets of a name; none where there are none.
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

// Listeners hands over the listeners of a name.
func (s *Sockets) Listeners(name string) []net.Listener {
	if s == nil {
		return nil
	}
	defer delete(s.listeners, name)
	return s.listeners[name]
}

// PacketConn hands over the datagram socket of a name; nil if there is none.
func (s *Sockets) PacketConn(name string) net.PacketConn {
	if s == nil {
		return nil
	}
	defer delete(s.packets, name)
	return s.packets[name]
}

// Close closes those that were not handed over.
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
