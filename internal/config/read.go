package config

import (
	"fmt"
	"os"
	"time"

	"github.com/ksyun-tap/ksyun-tap/usererror"
)

// readTimeout is how long ReadFile waits for a pipe.
const readTimeout = 10 * time.Second

// ReadFile reads a file that a setting names. If it is a pipe, such as a shell's
// <(command), ReadFile reads it to its end, but waits for at most 10 seconds.
func ReadFile(name string) ([]byte, error) {
	if info, err := os.Stat(name); err != nil || info.Mode().IsRegular() {
		if err != nil {
			return nil, err
		}
		return os.ReadFile(name)
	}
	type result struct {
		data []byte
		err  error
	}
	read := make(chan result, 1)
	go func() {
		data, err := os.ReadFile(name)
		read <- result{data, err}
	}()
	timeout := time.NewTimer(readTimeout)
	defer timeout.Stop()
	select {
	case r := <-read:
		return r.data, r.err
	case <-timeout.C:
		return nil, usererror.At(name, usererror.New(fmt.Sprintf("nothing was written to this pipe within %v", readTimeout), "write to it, or name a regular file"))
	}
}

// CheckRereadable returns an error with a hint if one of the files can be read only
// once, like a pipe. Empty names are ignored.
func CheckRereadable(hint string, names ...string) error {
	for _, name := range names {
		if name == "" {
			continue
		}
		if info, err := os.Stat(name); err == nil && !info.Mode().IsRegular() {
			return usererror.At(name, usererror.New("not a regular file and can be read only once", hint))
		}
	}
	return nil
}
