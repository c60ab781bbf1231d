package ca

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/ksyun-tap/ksyun-tap/usererror"
)

// The files of a CA, and the maximum sizes that are read, in bytes.
const (
	keyFile    = "key.pem"
	certFile   = "ca.pem"
	bundleFile = "bundle.pem"
	lockFile   = "lock"

	maxKeyFile    = 1 << 20
	maxPublicFile = 16 << 20
)

// Another process holds the lock for milliseconds only.
const (
	lockPatience = 10 * time.Second
	lockRetry    = 10 * time.Millisecond
)

// store keeps authorities in a directory. The caller must hold the lock, except
// for lock itself.
type store struct {
	dir     string
	public  string
	write   func(path string, data []byte, mode fs.FileMode) error // writeFile; tests replace it
	ownedBy int                                                    // the user who must own all private files
}

var errUnguarded = fmt.Errorf("a CA directory needs Unix file modes: %w", errors.ErrUnsupported)

// openStore returns a store whose directories exist and were checked.
func openStore(dir, public string) (*store, error) {
	if !guarded {
		return nil, errUnguarded
	}
	s := newStore(dir, public)
	return s, s.prepare()
}

// newStore returns a store without accessing its directories. Paths are cleaned,
// because a trailing slash would make Lstat follow a symbolic link.
func newStore(dir, public string) *store {
	return &store{dir: filepath.Clean(dir), public: filepath.Clean(public), write: writeFile, ownedBy: os.Geteuid()}
}

// prepare creates missing directories and checks them.
func (s *store) prepare() error {
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return fmt.Errorf("create the CA directory: %w", err)
	}
	info, err := os.Lstat(s.dir)
	if err != nil {
		return fmt.Errorf("check the CA directory: %w", err)
	}
	if err := s.checkPrivate(s.dir, info, fs.ModeDir); err != nil {
		return err
	}
	if err := os.MkdirAll(s.public, 0o755); err != nil { //nolint:gosec // programs of all users read it
		return fmt.Errorf("create the publish directory: %w", err)
	}
	return s.checkPublic()
}

// check returns the error that prepare would, without creating anything.
func (s *store) check() error {
	info, err := os.Lstat(s.dir)
	if err == nil {
		err = s.checkPrivate(s.dir, info, fs.ModeDir)
	} else if errors.Is(err, fs.ErrNotExist) {
		err = checkMakeable(s.dir)
	}
	if err != nil {
		return err
	}
	if err = s.checkPublic(); errors.Is(err, fs.ErrNotExist) {
		err = checkMakeable(s.public)
	}
	if err != nil {
		return err
	}
	path := filepath.Join(s.dir, keyFile)
	if info, err := os.Lstat(path); err == nil {
		return s.checkPrivate(path, info, 0)
	}
	return nil
}

// checkPublic returns an error if the publish directory belongs to another user
// than us or root, who could replace our certificates. If it is a symbolic link,
// the link and its target are checked. The private directory is checked
// elsewhere.
func (s *store) checkPublic() error {
	if s.public == s.dir {
		return nil
	}
	for _, look := range []func(string) (fs.FileInfo, error){os.Lstat, os.Stat} {
		info, err := look(s.public)
		if err != nil {
			return fmt.Errorf("check the publish directory: %w", err)
		}
		if owner := ownerOf(info); owner != s.ownedBy && owner != 0 {
			return usererror.New(fmt.Sprintf("%q belongs to user %d, who could replace the certificates that programs trust", s.public, owner), fmt.Sprintf("chown %d %q", s.ownedBy, s.public))
		}
		if !info.IsDir() && info.Mode()&fs.ModeSymlink == 0 {
			return usererror.New(fmt.Sprintf("%q is not a directory", s.public), "name a directory")
		}
	}
	return nil
}

// CheckKey returns an error if users other than its owner can access the key in
// dir, or dir itself. It returns nil if there is no key.
func CheckKey(dir string) error {
	path := filepath.Join(dir, keyFile)
	info, err := os.Lstat(path)
	if err != nil || !guarded {
		return nil //nolint:nilerr // a directory of certificates alone has no key
	}
	s := newStore(dir, dir)
	s.ownedBy = ownerOf(info)
	if dirInfo, err := os.Stat(s.dir); err == nil && dirInfo.Mode().Perm()&0o077 != 0 {
		return s.checkPrivate(s.dir, dirInfo, fs.ModeDir)
	}
	return s.checkPrivate(path, info, 0)
}

// checkPrivate returns an error if users other than us can access the file, or if
// it is not of the given kind: fs.ModeDir, or 0 for a regular file.
func (s *store) checkPrivate(path string, info fs.FileInfo, kind fs.FileMode) error {
	what, want := "file", fs.FileMode(0o600)
	if kind == fs.ModeDir {
		what, want = "directory", 0o700
	}
	mode := info.Mode()
	switch {
	case mode&fs.ModeSymlink != 0:
		return usererror.New(fmt.Sprintf("%q is a symbolic link", path), "name the "+what+" itself")
	case mode.Type() != kind:
		return fmt.Errorf("%q is not a %s", path, what)
	case ownerOf(info) != s.ownedBy:
		return usererror.New(fmt.Sprintf("%q belongs to user %d, not to user %d who runs this command", path, ownerOf(info), s.ownedBy), fmt.Sprintf("chown %d %q", s.ownedBy, path))
	case mode.Perm()&0o077 != 0:
		return usererror.New(fmt.Sprintf("%q has mode %04o, so that other users can access the CA's key", path, mode.Perm()), fmt.Sprintf("chmod %o %q", want, path))
	}
	return nil
}

// lock locks the directory against other processes, and other CAs of this
// process, until unlock is called. The kernel releases the lock of a process that
// dies.
func (s *store) lock() (unlock func(), err error) {
	if err := s.prepare(); err != nil {
		return nil, err
	}
	path := filepath.Join(s.dir, lockFile)
	f, err := openNoFollow(path, os.O_RDWR|os.O_CREATE)
	if err != nil {
		return nil, fmt.Errorf("lock the CA directory: %w", err)
	}
	for waited := time.Duration(0); ; waited += lockRetry {
		ok, err := tryLock(f)
		switch {
		case ok:
			return func() { f.Close() }, nil
		case err != nil:
			f.Close()
			return nil, fmt.Errorf("lock the CA directory: %w", err)
		case waited >= lockPatience:
			f.Close()
			return nil, fmt.Errorf("lock the CA directory: another process has held %q for %v", path, lockPatience)
		}
		<-time.After(lockRetry) // a blocking flock has no timeout
	}
}

// load returns the saved authorities, or nil if there is no key file yet.
func (s *store) load() ([]*authority, error) {
	path := filepath.Join(s.dir, keyFile)
	// A key file that was left unfinished by a crash holds keys.
	if err := os.Remove(path + partSuffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("remove an unfinished key file: %w", err)
	}
	if info, err := os.Lstat(path); err == nil && info.Mode().Type() != 0 {
		return nil, s.checkPrivate(path, info, 0) // before opening it: a named pipe would block
	}
	f, err := openNoFollow(path, os.O_RDONLY)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the CA's key: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("read the CA's key: %w", err)
	}
	if err := s.checkPrivate(path, info, 0); err != nil {
		return nil, err
	}
	data, err := readAll(f, maxKeyFile)
	if err != nil {
		return nil, fmt.Errorf("read the CA's key: %w", err)
	}
	all, err := parseKeys(data)
	if err != nil {
		return nil, usererror.Wrap(fmt.Errorf("%q is not a valid key file: %w", path, err), "move it away to have a new CA created")
	}
	return all, nil
}

// save writes the authorities to the key file.
func (s *store) save(all []*authority) error {
	data, err := encodeKeys(all)
	if err != nil {
		return err
	}
	if err := s.update(filepath.Join(s.dir, keyFile), data, 0o600, maxKeyFile); err != nil {
		return fmt.Errorf("save the CA's key: %w", err)
	}
	return nil
}

// publish writes ca.pem with certs, and bundle.pem with roots and certs. If roots
// returns an error, the roots in the existing bundle are kept, and publish
// returns true and that error.
func (s *store) publish(certs []byte, roots func() ([]byte, error)) (ok bool, err error) {
	if err := s.update(filepath.Join(s.public, certFile), certs, 0o644, maxPublicFile); err != nil {
		return false, fmt.Errorf("publish the CA: %w", err)
	}
	path := filepath.Join(s.public, bundleFile)
	trusted, rootsErr := roots()
	if rootsErr != nil {
		if trusted, err = readFile(path, maxPublicFile); err != nil {
			return false, fmt.Errorf("publish the bundle: %w", rootsErr)
		}
	}
	bundle, err := mergeBundle(trusted, certs)
	if err != nil {
		return false, fmt.Errorf("publish the bundle: %w", errors.Join(rootsErr, err))
	}
	if err := s.update(path, bundle, 0o644, maxPublicFile); err != nil {
		return false, fmt.Errorf("publish the bundle: %w", err)
	}
	return true, rootsErr
}

// update writes a file unless its contents and mode are already right.
func (s *store) update(path string, data []byte, mode fs.FileMode, limit int64) error {
	if info, err := os.Lstat(path); err == nil && info.Mode() == mode && info.Size() == int64(len(data)) {
		if old, err := readFile(path, limit); err == nil && bytes.Equal(old, data) {
			return nil
		}
	}
	return s.write(path, data, mode)
}

// partSuffix is the suffix of a file that is being written.
const partSuffix = ".part"

// writeFile replaces a file atomically: after a crash, the file is either the old
// or the new one.
func writeFile(path string, data []byte, mode fs.FileMode) (err error) {
	part := path + partSuffix
	if err := os.Remove(part); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := openNoFollow(part, os.O_WRONLY|os.O_CREATE|os.O_EXCL)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(part, path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(part))
	}
	return syncDir(filepath.Dir(path))
}

// syncDir makes a rename durable.
func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func readFile(path string, limit int64) ([]byte, error) {
	f, err := openNoFollow(path, os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readAll(f, limit)
}

// readAll reads a file and returns an error if it is larger than limit bytes.
func readAll(f *os.File, limit int64) ([]byte, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Size() > limit {
		return nil, fmt.Errorf("%q is larger than %d bytes", f.Name(), limit)
	}
	data := make([]byte, info.Size())
	_, err = io.ReadFull(f, data)
	return data, err
}
