package config

import (
	"fmt"
	"os"
	"time"
)

// readTimeout limits how long a pipe that is named in place of a file is waited
// for.
const readTimeout = 10 * time.Second

// ReadFile reads a file that a setting names. A pipe, as a shell's <(command)
// is, is waited for until its end, for a limited time.
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
		return nil, fmt.Errorf("read %s: nothing is written to this pipe", name)
	}
}

// CheckRereadable returns an error if one of the files cannot be read a second
// time, as pipes cannot. "" is no file.
func CheckRereadable(names ...string) error {
	for _, name := range names {
		if name == "" {
			continue
		}
		if info, err := os.Stat(name); err == nil && !info.Mode().IsRegular() {
			return fmt.Errorf("%s is no regular file and can be read once only", name)
		}
	}
	return nil
}
