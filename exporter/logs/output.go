package logs

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/ksyun-tap/ksyun-tap/exporter/internal/writable"
	"github.com/ksyun-tap/ksyun-tap/usererror"
)

// output is the destination of lines.
type output struct {
	io.Writer
	file *os.File // the file to be closed; nil if the output is not ours
}

func (o *output) close() error {
	if o.file == nil {
		return nil
	}
	return o.file.Close()
}

// openOutput opens the log file for appending. It never blocks: a named pipe is
// opened for reading and writing, so that it needs no reader. The standard
// streams are not opened by name, which fails for sockets and for pipes of
// another user.
func openOutput(path string) (*output, error) {
	switch path {
	case "-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1":
		return &output{Writer: os.Stdout}, nil
	case "/dev/stderr", "/dev/fd/2", "/proc/self/fd/2":
		return &output{Writer: os.Stderr}, nil
	}
	flags := os.O_APPEND | os.O_CREATE | os.O_WRONLY
	if info, err := os.Stat(path); err == nil && info.Mode()&fs.ModeNamedPipe != 0 {
		flags = os.O_RDWR | syscall.O_NONBLOCK
	}
	f, err := os.OpenFile(path, flags, 0o600)
	if err != nil {
		return nil, usererror.Wrap(fmt.Errorf("open log: %w", err), fileHint)
	}
	return &output{f, f}, nil
}

const fileHint = "name a file that this user can write, in a directory that exists"

// CheckFile returns an error if the log file at path could not be opened. It
// does not create the file.
func CheckFile(path string) error {
	switch _, err := os.Stat(path); {
	case path == "" || path == "-":
		return nil
	case err == nil:
		o, err := openOutput(path)
		if err != nil {
			return err
		}
		return o.close()
	case !os.IsNotExist(err):
		return usererror.Wrap(fmt.Errorf("open log: %w", err), fileHint)
	}
	if err := writable.Check(filepath.Dir(path)); err != nil {
		return usererror.Wrap(fmt.Errorf("open log: create %s: %w", path, err), fileHint)
	}
	return nil
}
