package resign

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync/atomic"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/ksyun-tap/ksyun-tap/usererror"
)

// Credentials are an access key of the vendor's, with a security token if they
// are temporary. Formatted with fmt, they show nothing.
type Credentials struct {
	AccessKey string `yaml:"access_key"`
	SecretKey string `yaml:"secret_key"`
	Token     string `yaml:"security_token"`
}

// Format writes nothing of the credentials, for any verb.
func (Credentials) Format(f fmt.State, _ rune) {
	io.WriteString(f, "credentials") //nolint:errcheck // as fmt itself does
}

// The environment variables that FromEnv reads. The vendor's Terraform provider
// reads the first two.
const (
	EnvAccessKey = "KSYUN_ACCESS_KEY"
	EnvSecretKey = "KSYUN_SECRET_KEY"     //nolint:gosec // a name, not a key
	EnvToken     = "KSYUN_SECURITY_TOKEN" //nolint:gosec // likewise
)

// FromEnv reads credentials from the environment.
func FromEnv(getenv func(string) string) (Credentials, error) {
	c := Credentials{getenv(EnvAccessKey), getenv(EnvSecretKey), getenv(EnvToken)}
	if err := c.check(EnvAccessKey, EnvSecretKey, EnvToken); err != nil {
		return Credentials{}, usererror.Wrap(err, "set it, or name a file with credentials")
	}
	return c, nil
}

// check returns an error if a value is missing or contains characters that cannot
// be sent in a request. It refers to the values by the given names.
func (c *Credentials) check(accessKey, secretKey, token string) error {
	switch {
	case c.AccessKey == "":
		return fmt.Errorf("%s is missing", accessKey)
	case c.SecretKey == "":
		return fmt.Errorf("%s is missing", secretKey)
	}
	for _, field := range []struct{ name, value string }{{accessKey, c.AccessKey}, {secretKey, c.SecretKey}, {token, c.Token}} {
		for i := range len(field.value) {
			if b := field.value[i]; b <= ' ' || b > '~' {
				return fmt.Errorf("%s contains a space, a control character or a non-ASCII character", field.name)
			}
		}
	}
	return nil
}

// maxFile is the maximum size of a credentials file, in bytes.
const maxFile = 64 << 10

// ReadFile reads a YAML or JSON file with access_key, secret_key and, optionally,
// security_token. It returns an error if users other than the owner and the
// group can read the file, or if the group can write it. (Kubernetes mounts a
// Secret for a group with mode 0440.) Errors quote nothing of the file.
func ReadFile(name string) (Credentials, error) {
	c, err := readFile(name)
	if err != nil {
		return Credentials{}, usererror.At(fmt.Sprintf("credentials file %q", name), err)
	}
	return c, nil
}

func readFile(name string) (Credentials, error) {
	f, err := os.Open(name)
	if err != nil {
		return Credentials{}, usererror.Wrap(withoutPath(err), "name a file that this user can read")
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return Credentials{}, withoutPath(err)
	case !info.Mode().IsRegular():
		return Credentials{}, usererror.New("is not a regular file", "name a file with credentials")
	case info.Mode().Perm()&0o027 != 0:
		return Credentials{}, usererror.New(fmt.Sprintf("has mode %04o, so that other users can access the keys", info.Mode().Perm()), fmt.Sprintf("chmod 600 %q", name))
	case info.Size() > maxFile:
		return Credentials{}, usererror.New(fmt.Sprintf("is larger than %d bytes", maxFile), "name a file with credentials")
	}
	data, err := io.ReadAll(io.LimitReader(f, maxFile))
	if err != nil {
		return Credentials{}, withoutPath(err)
	}
	return parse(data)
}

// withoutPath returns the cause of an error of package os, which names the path.
func withoutPath(err error) error {
	if path, ok := errors.AsType[*fs.PathError](err); ok {
		return path.Err
	}
	return err
}

func parse(data []byte) (Credentials, error) {
	const grammar = "write access_key: ..., secret_key: ... and, for temporary credentials, security_token: ..., each on a line of its own"
	var c Credentials
	dec := yaml.NewDecoder(bytes.NewReader(data))
	dec.KnownFields(true)
	if err := dec.Decode(&c); err != nil {
		return Credentials{}, usererror.New("cannot be parsed", grammar) // the decoder's error quotes the file
	}
	if err := c.check("access_key", "secret_key", "security_token"); err != nil {
		return Credentials{}, usererror.Wrap(err, grammar)
	}
	return c, nil
}

// watchInterval is the interval at which Watch reads the file.
const watchInterval = 5 * time.Second

// Source holds credentials that are read from a file or from the environment. It
// is safe for concurrent use.
type Source struct {
	file    string
	current atomic.Pointer[Credentials]
	changed atomic.Int64 // Unix time
	failing atomic.Bool
}

// OpenSource reads credentials from file or, if file is "", from the environment.
func OpenSource(file string) (*Source, error) {
	s := &Source{file: file}
	c, err := s.read()
	if err != nil {
		return nil, err
	}
	s.set(&c)
	return s, nil
}

func (s *Source) set(c *Credentials) {
	s.current.Store(c)
	s.changed.Store(time.Now().Unix())
}

func (s *Source) read() (Credentials, error) {
	if s.file == "" {
		return FromEnv(os.Getenv)
	}
	return ReadFile(s.file)
}

// Credentials returns the credentials that were last read without error.
func (s *Source) Credentials() Credentials { return *s.current.Load() }

// Status is the status of a Source.
type Status struct {
	OK      bool      // the last read succeeded
	Changed time.Time // when the credentials last changed
}

// Status returns the current status.
func (s *Source) Status() Status {
	return Status{!s.failing.Load(), time.Unix(s.changed.Load(), 0)}
}

// Reload reads the file again and reports whether the credentials changed. If it
// returns an error, the old ones stay in use.
func (s *Source) Reload() (changed bool, err error) {
	c, err := s.read()
	s.failing.Store(err != nil)
	if err != nil {
		return false, err
	}
	if c == *s.current.Load() {
		return false, nil
	}
	s.set(&c)
	return true, nil
}

// Watch reloads the file every 5 seconds until ctx is done. It calls report with
// nil after a change, and after the first success that follows an error. It
// calls report with an error the first time that it occurs: reading a file while
// it is being written may fail once. Without a file, Watch returns at once.
func (s *Source) Watch(ctx context.Context, report func(error)) {
	if s.file == "" {
		return
	}
	t := time.NewTicker(watchInterval)
	defer t.Stop()
	for last := ""; ; {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		changed, err := s.Reload()
		switch {
		case err == nil:
			if changed || last != "" {
				report(nil)
			}
			last = ""
		case err.Error() != last:
			last = err.Error()
			report(err)
		}
	}
}
