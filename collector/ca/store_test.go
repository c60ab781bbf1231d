//go:build unix

package ca

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ksyun-tap/ksyun-tap/internal/testfile"
)

func TestModes(t *testing.T) {
	dir, public := privateDir(t), privateDir(t)
	mustOpen(t, Config{Dir: dir, PublishDir: public})
	for path, want := range map[string]fs.FileMode{
		dir:                               fs.ModeDir | 0o700,
		filepath.Join(dir, keyFile):       0o600,
		filepath.Join(dir, lockFile):      0o600,
		public:                            fs.ModeDir | 0o755,
		filepath.Join(public, certFile):   0o644,
		filepath.Join(public, bundleFile): 0o644,
	} {
		info, err := os.Lstat(path)
		require.NoError(t, err)
		assert.Equal(t, want, info.Mode(), "%s has mode", path)
	}
	for dir, want := range map[string]string{dir: "key.pem lock", public: "bundle.pem ca.pem"} {
		assert.Equal(t, want, strings.Join(files(t, dir), " "), "files")
	}
}

func files(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// TestRefused makes a directory with a CA unsafe in many ways. In the errors, DIR is its
// path.
func TestRefused(t *testing.T) {
	f := func(name string, spoil func(t *testing.T, dir string), want string) {
		t.Run(name, func(t *testing.T) {
			dir := privateDir(t)
			mustOpen(t, Config{Dir: dir})
			before := testfile.Read(t, dir, keyFile)
			spoil(t, dir)
			for _, spelt := range []string{dir, dir + "/", dir + "/."} { // the last two would follow a link
				_, err := Open(Config{Dir: spelt, Permitted: names, Roots: testRoots})
				require.Error(t, err, "%s was opened", spelt)
				got := strings.ReplaceAll(err.Error(), dir, "DIR")
				assert.True(t, strings.HasPrefix(got, "open CA: "+want), "%s: error %s\n want %s", spelt, got, want)
			}
			assert.NotEmpty(t, before, "there was no key")
		})
	}
	chmod := func(name string, mode fs.FileMode) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			require.NoError(t, os.Chmod(filepath.Join(dir, name), mode))
		}
	}
	for mode, text := range map[fs.FileMode]string{0o755: "0755", 0o710: "0710", 0o701: "0701", 0o720: "0720", 0o777: "0777"} {
		f("directory "+text, chmod("", mode), `"DIR" has mode `+text+`, so that other users can access the CA's key: chmod 700 "DIR"`)
	}
	for mode, text := range map[fs.FileMode]string{0o644: "0644", 0o640: "0640", 0o604: "0604", 0o620: "0620", 0o666: "0666"} {
		f("key "+text, chmod(keyFile, mode), `"DIR/key.pem" has mode `+text+`, so that other users can access the CA's key: chmod 600 "DIR/key.pem"`)
	}
	replace := func(name string, put func(path string) error) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			path := filepath.Join(dir, name)
			require.NoError(t, os.Rename(path, path+".away"))
			require.NoError(t, put(path))
		}
	}
	link := func(path string) error { return os.Symlink(path+".away", path) }
	f("directory by a link", replace("", link), `"DIR" is a symbolic link: name the directory itself`)
	f("key by a link", replace(keyFile, link), `"DIR/key.pem" is a symbolic link: name the file itself`)
	f("lock by a link", replace(lockFile, link), `lock the CA directory: open DIR/lock: `)
	f("directory is a file", replace("", func(path string) error { return os.WriteFile(path, nil, 0o600) }), `create the CA directory: `)
	f("key is a directory", replace(keyFile, func(path string) error { return os.Mkdir(path, 0o700) }), `"DIR/key.pem" is not a file`)
	f("key is a pipe", replace(keyFile, func(path string) error { return syscall.Mkfifo(path, 0o600) }), `"DIR/key.pem" is not a file`)
	f("key is huge", replace(keyFile, func(path string) error {
		return errors.Join(os.WriteFile(path, nil, 0o600), os.Truncate(path, maxKeyFile+1))
	}), `read the CA's key: "DIR/key.pem" is larger than 1048576 bytes`)
	f("key is empty", replace(keyFile, func(path string) error { return os.WriteFile(path, nil, 0o600) }),
		`"DIR/key.pem" is not a valid key file: it holds no authority: move it away to have a new CA created`)
}

func TestForeignOwner(t *testing.T) {
	dir := privateDir(t)
	c := mustOpen(t, Config{Dir: dir})
	me := os.Geteuid()
	c.store.ownedBy = me + 1
	want := fmt.Sprintf("%q belongs to user %d, not to user %d who runs this command: chown %d %q", dir, me, me+1, me+1, dir)
	assert.EqualError(t, c.Refresh(), want)
	if _, err := c.store.load(); err == nil || !strings.HasPrefix(err.Error(), fmt.Sprintf("%q belongs to user", filepath.Join(dir, keyFile))) {
		t.Errorf("the key: error %v", err)
	}
}

// TestDamagedKeyFile is left as it is, for what can be saved of it.
func TestDamagedKeyFile(t *testing.T) {
	dir := privateDir(t)
	c := mustOpen(t, Config{Dir: dir})
	require.NoError(t, c.rotate())
	whole := string(testfile.Read(t, dir, keyFile))
	secondCert := strings.LastIndex(whole, "-----BEGIN CERT")
	secondKey := strings.LastIndex(whole, "-----BEGIN PRIV")
	f := func(name, data, want string) {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(dir, keyFile)
			testfile.Write(t, path, []byte(data), 0o600)
			_, err := Open(Config{Dir: dir, Permitted: names, Roots: testRoots})
			assert.ErrorContains(t, err, want)
			if string(testfile.Read(t, path)) != data {
				t.Error("the file was changed")
			}
			noSecrets(t, fmt.Sprint(err), whole)
		})
	}
	f("cut within a key", whole[:len(whole)-60], "authority 2: the private key is missing")
	f("cut before a key", whole[:secondKey], "authority 2: the private key is missing")
	f("cut within a certificate", whole[:secondCert+200], "authority 2: the intermediate certificate is missing")
	f("begins within", whole[300:], "authority 1: the root certificate is missing")
	f("rubbish before", "rubbish\n"+whole, "authority 1: the root certificate is missing")
	f("rubbish between", whole[:secondCert]+"rubbish\n"+whole[secondCert:], "authority 2: the intermediate certificate is missing")
	f("zeros", strings.Repeat("\x00", len(whole)), "authority 1: the root certificate is missing")
	f("keys exchanged", whole[:strings.Index(whole, "-----BEGIN PRIV")]+whole[secondKey:], "authority 1: the private key does not belong to the certificate")
	f("no key", whole[secondCert:secondKey]+whole[secondCert:secondKey], "authority 1: the private key is missing")
	f("publication", strings.Replace(whole, "Published: 2", "Published: x", 1), "authority 1: the time of publication cannot be parsed")
	firstEnd := strings.Index(whole, "-----END CERT")
	f("root of another", whole[:strings.Index(whole[firstEnd:], "-----BEGIN CERT")+firstEnd]+whole[secondCert:], "authority 1: a certificate is damaged: its signature is invalid")
	f("no root", whole[secondCert:], "authority 1: the intermediate certificate is missing")
	f("certificate of others", string(selfSigned("x"))+string(selfSigned("y"))+whole[secondKey:], "authority 1: the private key does not belong to the certificate")
	f("too many", strings.Repeat(whole, maxAuthorities), "it holds more than 16 authorities")
}

// TestPublishedFilesAreRepaired damages the published files.
func TestPublishedFilesAreRepaired(t *testing.T) {
	for _, name := range []string{certFile, bundleFile} {
		for how, spoil := range map[string]func(path string) error{
			"gone":     os.Remove,
			"cut":      func(path string) error { return os.Truncate(path, 100) },
			"changed":  func(path string) error { return os.WriteFile(path, make([]byte, 1000), 0o644) },
			"private":  func(path string) error { return os.Chmod(path, 0o600) },
			"writable": func(path string) error { return os.Chmod(path, 0o666) },
			"a link":   func(path string) error { return errors.Join(os.Rename(path, path+".x"), os.Symlink(path+".x", path)) },
		} {
			t.Run(name+" "+how, func(t *testing.T) {
				dir := privateDir(t)
				c := mustOpen(t, Config{Dir: dir})
				path := filepath.Join(dir, name)
				want := string(testfile.Read(t, path))
				require.NoError(t, spoil(path))
				require.NoError(t, c.Refresh())
				info, err := os.Lstat(path)
				if err != nil || info.Mode() != 0o644 || string(testfile.Read(t, path)) != want {
					t.Errorf("not as before: %v, %v", info, err)
				}
			})
		}
	}
}

var errCrash = errors.New("crash")

// crashAt lets n files be written and then none, of the first of which it
// leaves a piece.
func crashAt(n int) func(string, []byte, fs.FileMode) error {
	return func(path string, data []byte, mode fs.FileMode) error {
		n--
		switch {
		case n >= 0:
			return writeFile(path, data, mode)
		case n == -1:
			return errors.Join(errCrash, os.WriteFile(path+partSuffix, data[:len(data)/2], 0o600))
		}
		return errCrash
	}
}

// TestCrash breaks off the first start, a rotation and a replacement after each
// file they write.
func TestCrash(t *testing.T) {
	t.Run("start", func(t *testing.T) {
		for n := range 4 {
			dir := privateDir(t)
			s, err := openStore(dir, dir)
			require.NoError(t, err)
			crashed := mustOpen(t, Config{})
			crashed.view.Store(&view{})
			crashed.store, s.write = s, crashAt(n)
			require.ErrorIs(t, crashed.Refresh(), errCrash, "crash after %d files", n)
			c := mustOpen(t, Config{Dir: dir})
			checkWhole(t, c, dir, 1)
			if n > 0 && c.Fingerprint() != crashed.Fingerprint() {
				t.Errorf("crash after %d files: the key was lost", n)
			}
		}
	})
	t.Run("rotation", func(t *testing.T) {
		for n := range 4 {
			dir := privateDir(t)
			clk := newClock()
			c := mustOpen(t, Config{Dir: dir, Now: clk.Now})
			first, trusted := c.Fingerprint(), testfile.Read(t, dir, certFile)
			clk.add(c.cfg.Overlap)
			c.store.write = crashAt(n)
			require.ErrorIs(t, c.rotate(), errCrash, "crash after %d files", n)
			err := trusts(trusted, mustCert(t, c, host), host, clk.Now())
			assert.NoError(t, err, "crash after %d files: a program that runs", n)
			// Long after, the second counts as published from now on.
			clk.add(c.cfg.Overlap / 2)
			c = mustOpen(t, Config{Dir: dir, Now: clk.Now})
			checkWhole(t, c, dir, 2)
			if c.Fingerprint() != first {
				t.Errorf("crash after %d files: the second signs before it was public for the overlap", n)
			}
			clk.add(c.cfg.Overlap)
			assert.NotEqual(t, first, c.Fingerprint(), "crash after %d files: the second does not sign after the overlap", n)
		}
	})
}

// checkWhole checks that c signs, that the files agree, and that nothing lies
// about beside them.
func checkWhole(t *testing.T, c *CA, dir string, want int) {
	t.Helper()
	assert.NoError(t, trusts(testfile.Read(t, dir, bundleFile), mustCert(t, c, host), host, c.now()))
	assert.Len(t, authorities(c), want, "authorities")
	assert.Equal(t, want, count(testfile.Read(t, dir, certFile)), "certificates in ca.pem")
	assert.Equal(t, "bundle.pem ca.pem key.pem lock", strings.Join(files(t, dir), " "), "files")
	for _, a := range authorities(c) {
		assert.False(t, a.published.IsZero(), "%s is not noted as published", a.root.Subject)
	}
}

// TestLockIsWaitedFor has another process hold the lock for ever, then let go.
func TestLockIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := privateDir(t)
		c := mustOpen(t, Config{Dir: dir})
		unlock, err := c.store.lock()
		require.NoError(t, err)
		start := time.Now()
		assert.ErrorContains(t, c.Refresh(), "another process has held")
		if waited := time.Since(start); waited < lockPatience || waited > 2*lockPatience {
			t.Errorf("waited %v, want %v", waited, lockPatience)
		}
		mustCert(t, c, host) // does not need the lock
		done := make(chan error)
		go func() { done <- c.Refresh() }()
		synctest.Wait()
		unlock()
		assert.NoError(t, <-done, "after the lock was let go")
	})
}

func TestUnwritable(t *testing.T) {
	dir := privateDir(t)
	blocked := filepath.Join(t.TempDir(), "file")
	testfile.Write(t, blocked, "", 0o600)
	for name, cfg := range map[string]Config{
		"directory": {Dir: filepath.Join(blocked, "ca")},
		"published": {Dir: dir, PublishDir: filepath.Join(blocked, "ca")},
	} {
		cfg.Permitted, cfg.Roots = names, testRoots
		_, err := Open(cfg)
		assert.ErrorIs(t, err, syscall.ENOTDIR, name)
	}
}

// TestPublishDirOfAnother has a publish directory of another user, who could replace
// the files in it.
func TestPublishDirOfAnother(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give a directory away")
	}
	public := t.TempDir()
	require.NoError(t, os.Chown(public, 12345, -1))
	link := filepath.Join(t.TempDir(), "link")
	require.NoError(t, os.Symlink(public, link))
	for _, dir := range []string{public, public + "/", link} {
		cfg := Config{Dir: privateDir(t), PublishDir: dir, Permitted: names, Roots: testRoots}
		for what, err := range map[string]error{"Check": Check(cfg), "Open": opened(cfg)} {
			assert.ErrorContains(t, err, "belongs to user 12345", "%s %s", what, dir)
		}
	}
}

func opened(cfg Config) error {
	_, err := Open(cfg)
	return err
}

// TestLinkWithASlash names a symbolic link to the directory with a slash at its
// end, which would be followed.
func TestLinkWithASlash(t *testing.T) {
	dir := privateDir(t)
	mustOpen(t, Config{Dir: dir})
	link := filepath.Join(t.TempDir(), "link")
	require.NoError(t, os.Symlink(dir, link))
	for _, name := range []string{link, link + "/", link + "//", link + "/."} {
		cfg := Config{Dir: name, Permitted: names, Roots: testRoots}
		for what, err := range map[string]error{"Check": Check(cfg), "Open": opened(cfg)} {
			assert.ErrorContains(t, err, "symbolic link", "%s %s", what, name)
		}
	}
}

func TestCheckMakesNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	assert.NoError(t, Check(Config{Dir: dir, PublishDir: dir + "-public", Permitted: names, Roots: testRoots}))
	_, err := os.Lstat(filepath.Dir(dir))
	assert.Error(t, err, "it made a directory")
	mustOpen(t, Config{Dir: dir})
	assert.NoError(t, Check(Config{Dir: dir, Permitted: names, Roots: testRoots}))
	for path, mode := range map[string]os.FileMode{filepath.Join(dir, keyFile): 0o644, dir: 0o755} {
		old, err := os.Stat(path)
		require.NoError(t, err)
		require.NoError(t, os.Chmod(path, mode))
		for what, err := range map[string]error{"Check": Check(Config{Dir: dir, Permitted: names, Roots: testRoots}), "CheckKey": CheckKey(dir)} {
			assert.ErrorContains(t, err, "so that other users can access the CA's key", "%s %s", what, path)
		}
		require.NoError(t, os.Chmod(path, old.Mode().Perm()))
	}
	assert.NoError(t, CheckKey(dir))
	assert.NoError(t, CheckKey(t.TempDir()), "without a key")
}
