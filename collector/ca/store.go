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
)

// The files of a CA, and the most that is read of them.
const (
	keyFile    = "key.pem"
	certFile   = "ca.pem"
	bundleFile = "bundle.pem"
	lockFile   = "lock"

	maxKeyFile    = 1 << 20
	maxPublicFile = 16 << 20
)

// The patience for another process that has the directory locked, which it has
// for milliseconds.
const (
	lockPatience = 10 * time.Second
	lockRetry    = 10 * time.Millisecond
)

// store keeps authorities in a directory. Its methods other than lock are for
// the lock's holder.
type store struct {
	dir     string
	public  string
	write   func(path string, data []byte, mode fs.FileMode) error // writeFile; tests interrupt it
	ownedBy int                                                    // the user all private files must belong to
}

var errUnguarded = fmt.Errorf("a CA directory needs Unix file modes: %w", errors.ErrUnsupported)

// openStore makes the directories if there are none.
func openStore(dir, public string) (*store, error) {
	if !guarded {
		return nil, errUnguarded
	}
	s := newStore(dir, public)
	return s, s.prepare()
}

// newStore returns a store without looking at its directories. A path is
// cleaned of a last slash, by which a symbolic link would be followed.
func newStore(dir, public string) *store {
	return &store{dir: filepath.Clean(dir), public: filepath.Clean(public), write: writeFile, ownedBy: os.Geteuid()}
}

// prepare makes what directories are missing and checks them.
func (s *store) prepare() error {
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return fmt.Errorf("make the CA directory: %w", err)
	}
	info, err := os.Lstat(s.dir)
	if err != nil {
		return fmt.Errorf("look at the CA directory: %w", err)
	}
	if err := s.checkPrivate(s.dir, info, fs.ModeDir); err != nil {
		return err
	}
	if err := os.MkdirAll(s.public, 0o755); err != nil { //nolint:gosec // for all to read
		return fmt.Errorf("make the directory to publish in: %w", err)
	}
	return s.checkPublic()
}

// check returns the error that prepare would, and makes nothing.
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

// checkPublic refuses a directory to publish in whose owner is neither us nor
// root: the owner could put other certificates in the place of ours. One that is
// the private directory has been checked. Of a symbolic link, both ends count.
func (s *store) checkPublic() error {
	if s.public == s.dir {
		return nil
	}
	for _, look := range []func(string) (fs.FileInfo, error){os.Lstat, os.Stat} {
		info, err := look(s.public)
		if err != nil {
			return fmt.Errorf("look at the directory to publish in: %w", err)
		}
		if owner := ownerOf(info); owner != s.ownedBy && owner != 0 {
			return fmt.Errorf("%q belongs to user %d, who could replace what programs are to trust: chown %d %q", s.public, owner, s.ownedBy, s.public)
		}
		if !info.IsDir() && info.Mode()&fs.ModeSymlink == 0 {
			return fmt.Errorf("%q is not a directory", s.public)
		}
	}
	return nil
}

// CheckKey returns an error if others than its owner can read or change the key
// in dir, or the directory itself. Without a key there is none.
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

// checkPrivate refuses what anybody but its owner, who must be us, can read or
// change, and what is not of the kind wanted: fs.ModeDir, or 0 for a file.
func (s *store) checkPrivate(path string, info fs.FileInfo, kind fs.FileMode) error {
	what, want := "file", fs.FileMode(0o600)
	if kind == fs.ModeDir {
		what, want = "directory", 0o700
	}
	mode := info.Mode()
	switch {
	case mode&fs.ModeSymlink != 0:
		return fmt.Errorf("%q is a symbolic link: name the %s itself", path, what)
	case mode.Type() != kind:
		return fmt.Errorf("%q is not a %s", path, what)
	case ownerOf(info) != s.ownedBy:
		return fmt.Errorf("%q belongs to user %d, not to user %d who runs this: chown %d %q", path, ownerOf(info), s.ownedBy, s.ownedBy, path)
	case mode.Perm()&0o077 != 0:
		return fmt.Errorf("%q has mode %04o, which lets others at the CA's key: chmod %o %q", path, mode.Perm(), want, path)
	}
	return nil
}

// lock keeps other processes, and other CAs of this one, out of the directory
// until unlock is called. The lock of a process that dies is gone with it.
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
		<-time.After(lockRetry) // the kernel would wait for ever
	}
}

// load returns the authorities kept, nil if there is no file yet.
func (s *store) load() ([]*authority, error) {
	path := filepath.Join(s.dir, keyFile)
	// What a crash left of a file being written holds keys.
	if err := os.Remove(path + partSuffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("remove an unfinished key file: %w", err)
	}
	if info, err := os.Lstat(path); err == nil && info.Mode().Type() != 0 {
		return nil, s.checkPrivate(path, info, 0) // before the open, which a pipe would hold up
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
		return nil, fmt.Errorf("%q is not a key file of ours: %w (move it away to have a new CA made)", path, err)
	}
	return all, nil
}

// save keeps the authorities.
func (s *store) save(all []*authority) error {
	data, err := encodeKeys(all)
	if err != nil {
		return err
	}
	if err := s.update(filepath.Join(s.dir, keyFile), data, 0o600, maxKeyFile); err != nil {
		return fmt.Errorf("keep the CA's key: %w", err)
	}
	return nil
}

// publish writes certs, and the roots with them, for programs to read. Where the
// roots cannot be had those published last are kept; the error then comes with
// ok set.
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

// update writes a file unless it is as it should be.
func (s *store) update(path string, data []byte, mode fs.FileMode, limit int64) error {
	if info, err := os.Lstat(path); err == nil && info.Mode() == mode && info.Size() == int64(len(data)) {
		if old, err := readFile(path, limit); err == nil && bytes.Equal(old, data) {
			return nil
		}
	}
	return s.write(path, data, mode)
}

// partSuffix is of the file that is written before it takes the name of
// another.
const partSuffix = ".part"

// writeFile puts data in the place of a file at once: after a crash there is
// the old file or the new one, whole.
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

// syncDir has the renaming last.
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

// readAll reads a file of at most limit bytes.
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
