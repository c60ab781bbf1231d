package resign

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"time"

	"go.yaml.in/yaml/v3"
)

// Credentials are a key pair of the vendor's, with a security token if they are
// temporary. Printed, they show nothing.
type Credentials struct {
	AccessKey string `yaml:"access_key"`
	SecretKey string `yaml:"secret_key"`
	Token     string `yaml:"security_token"`
}

// Format writes nothing of the credentials, whatever the verb.
func (Credentials) Format(f fmt.State, _ rune) {
	io.WriteString(f, "credentials") //nolint:errcheck // as fmt itself does
}

// The variables that FromEnv reads; the first two are those of the vendor's
// Terraform provider.
const (
	EnvAccessKey = "KSYUN_ACCESS_KEY"
	EnvSecretKey = "KSYUN_SECRET_KEY"     //nolint:gosec // a name, not a key
	EnvToken     = "KSYUN_SECURITY_TOKEN" //nolint:gosec // likewise
)

// FromEnv reads credentials from the environment.
func FromEnv(getenv func(string) string) (Credentials, error) {
	c := Credentials{getenv(EnvAccessKey), getenv(EnvSecretKey), getenv(EnvToken)}
	if err := c.check(EnvAccessKey, EnvSecretKey, EnvToken); err != nil {
		return Credentials{}, fmt.Errorf("credentials in the environment: %w", err)
	}
	return c, nil
}

// check reports what is missing, or would not stand in a request as it is, by
// these names.
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
				return fmt.Errorf("%s holds a blank, or a character outside of ASCII", field.name)
			}
		}
	}
	return nil
}

// maxFile is the most that is read of a credentials file.
const maxFile = 64 << 10

// ReadFile reads a YAML or JSON file with access_key, secret_key and, if there
// is one, security_token. Files that users other than the owner and the group
// can read are refused, and so are those that the group can write: a secret
// that Kubernetes mounts for a group is mode 0440. The errors quote nothing of
// the file.
func ReadFile(name string) (Credentials, error) {
	f, err := os.Open(name)
	if err != nil {
		return Credentials{}, fmt.Errorf("read credentials: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return Credentials{}, fmt.Errorf("read credentials: %w", err)
	case !info.Mode().IsRegular():
		return Credentials{}, fmt.Errorf("credentials file %q is not a file", name)
	case info.Mode().Perm()&0o027 != 0:
		return Credentials{}, fmt.Errorf("credentials file %q has mode %04o, which lets others at the keys: chmod 600 %q", name, info.Mode().Perm(), name)
	case info.Size() > maxFile:
		return Credentials{}, fmt.Errorf("credentials file %q is larger than %d bytes", name, maxFile)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxFile))
	if err != nil {
		return Credentials{}, fmt.Errorf("read credentials: %w", err)
	}
	c, err := parse(data)
	if err != nil {
		return Credentials{}, fmt.Errorf("credentials file %q: %w", name, err)
	}
	return c, nil
}

func parse(data []byte) (Credentials, error) {
	const grammar = "write access_key: ..., secret_key: ... and, for temporary ones, security_token: ..., a line each"
	var c Credentials
	dec := yaml.NewDecoder(bytes.NewReader(data))
	dec.KnownFields(true)
	if err := dec.Decode(&c); err != nil {
		return Credentials{}, errors.New("it cannot be read: " + grammar) // the reader's own words quote it
	}
	if err := c.check("access_key", "secret_key", "security_token"); err != nil {
		return Credentials{}, fmt.Errorf("%w: %s", err, grammar)
	}
	return c, nil
}

// watchInterval is how often Watch reads the file.
const watchInterval = 5 * time.Second

// Source holds the credentials of a file, as they last were in order. It is
// safe for concurrent use.
type Source struct {
	file    string
	current atomic.Pointer[Credentials]
	changed atomic.Int64 // Unix time
	failing atomic.Bool
}

// OpenSource returns the credentials of a file, or those of the environment
// where file is "".
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

// Credentials returns the credentials.
func (s *Source) Credentials() Credentials { return *s.current.Load() }

// Status tells whether the file could last be read, and when the credentials
// last changed.
func (s *Source) Status() (ok bool, changed time.Time) {
	return !s.failing.Load(), time.Unix(s.changed.Load(), 0)
}

// Reload reads the file again. On error the credentials stay as they are.
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

// Watch reloads every 5 s until ctx is done, and tells of every change, and of
// errors once until they are others: what is read while a file is being written
// mends itself.
func (s *Source) Watch(ctx context.Context, tell func(error)) {
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
				tell(nil)
			}
			last = ""
		case err.Error() != last:
			last = err.Error()
			tell(err)
		}
	}
}
