package resign_test

import (
	"cmp"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ksyun-tap/ksyun-tap/collector/resign"
	"github.com/ksyun-tap/ksyun-tap/internal/testfile"
)

const keyFile = "access_key: AKREAL\nsecret_key: real secret\n"

func write(t *testing.T, text string, mode fs.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "credentials.yaml")
	testfile.Write(t, path, text, mode)
	return path
}

func TestReadFile(t *testing.T) {
	for name, tc := range map[string]struct {
		text string
		mode fs.FileMode
		want resign.Credentials
		err  string // after the file's name
	}{
		"permanent": {text: strings.ReplaceAll(keyFile, " secret", "secret"), want: resign.Credentials{AccessKey: "AKREAL", SecretKey: "realsecret"}},
		"JSON, temporary": {
			text: `{"access_key":"A","secret_key":"S","security_token":"T"}`,
			mode: 0o400, want: resign.Credentials{AccessKey: "A", SecretKey: "S", Token: "T"},
		},
		"mounted for a group": {text: "access_key: A\nsecret_key: S", mode: 0o440, want: resign.Credentials{AccessKey: "A", SecretKey: "S"}},
		"for all to read":     {text: keyFile, mode: 0o644, err: `has mode 0644, so that other users can access the keys: chmod 600`},
		"for a group to write": {
			text: keyFile, mode: 0o660, err: `has mode 0660, so that other users can access the keys: chmod 600`,
		},
		"no secret":    {text: "access_key: A", err: "secret_key is missing: write access_key"},
		"no key":       {text: "secret_key: S", err: "access_key is missing: write access_key"},
		"empty":        {text: "", err: "cannot be parsed: write access_key"},
		"cut":          {text: "access_key: A\nsecret_k", err: "cannot be parsed: write access_key"},
		"unknown":      {text: keyFile + "secretkey: x", err: "cannot be parsed: write access_key"},
		"a list":       {text: "- hidden", err: "cannot be parsed: write access_key"},
		"a blank":      {text: keyFile, err: "secret_key contains a space, a control character or a non-ASCII character: write"},
		"a line break": {text: "access_key: \"A\\r\\nX: y\"\nsecret_key: S", err: "access_key contains a space"},
		"too large":    {text: strings.Repeat("#", 65<<10), err: "is larger than 65536 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			tc.mode = cmp.Or(tc.mode, 0o600)
			path := write(t, tc.text, tc.mode)
			got, err := resign.ReadFile(path)
			switch {
			case tc.err == "" && (err != nil || got != tc.want):
				t.Errorf("error %v", err)
			case tc.err != "" && (err == nil || !strings.HasPrefix(strings.TrimLeft(strings.TrimPrefix(err.Error(), fmt.Sprintf("credentials file %q", path)), ": "), tc.err)):
				t.Errorf("error %v\n want %s", err, tc.err)
			case err != nil && strings.Contains(err.Error(), "hidden"):
				t.Errorf("the error quotes the file: %v", err)
			}
		})
	}
	_, err := resign.ReadFile(filepath.Join(t.TempDir(), "none"))
	assert.ErrorIs(t, err, fs.ErrNotExist, "no file")
	if _, err := resign.ReadFile(t.TempDir()); err == nil {
		t.Error("a directory was read")
	}
}

func TestFromEnv(t *testing.T) {
	env := map[string]string{resign.EnvAccessKey: "A", resign.EnvSecretKey: "S", resign.EnvToken: "T"}
	got, err := resign.FromEnv(func(name string) string { return env[name] })
	require.NoError(t, err)
	assert.Equal(t, resign.Credentials{AccessKey: "A", SecretKey: "S", Token: "T"}, got)
	delete(env, resign.EnvSecretKey)
	if _, err := resign.FromEnv(func(name string) string { return env[name] }); err == nil || err.Error() != "KSYUN_SECRET_KEY is missing: set it, or name a file with credentials" {
		t.Errorf("error %v", err)
	}
}

// TestPrintedNowhere prints credentials in every way.
func TestPrintedNowhere(t *testing.T) {
	c := resign.Credentials{AccessKey: "hidden1", SecretKey: "hidden2", Token: "hidden3"}
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x"} {
		for _, v := range []any{c, &c, []resign.Credentials{c}, struct{ C resign.Credentials }{c}} {
			if s := fmt.Sprintf(format, v); strings.Contains(s, "hidden") || strings.Contains(s, "68696464656e") {
				t.Errorf("%s: %s", format, s)
			}
		}
	}
}

// TestWatch changes the file of a source. A file that cannot be read is reported once,
// and the last valid credentials remain.
func TestWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := write(t, "access_key: one\nsecret_key: S", 0o600)
		s, err := resign.OpenSource(path)
		require.NoError(t, err)
		reported := make(chan string, 16)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go s.Watch(ctx, func(err error) { reported <- strconv.FormatBool(err != nil) })
		check := func(when, key string, ok bool, news string) {
			t.Helper()
			<-time.After(11 * time.Second)
			synctest.Wait()
			var heard []string
			for len(reported) > 0 {
				heard = append(heard, <-reported)
			}
			if s.Status().OK != ok || s.Credentials().AccessKey != key || strings.Join(heard, " ") != news {
				t.Errorf("%s: key %s, in order %v, reported %q", when, s.Credentials().AccessKey, s.Status().OK, heard)
			}
		}
		check("at first", "one", true, "")
		testfile.Write(t, path, "access_key: two\nsecret_key: S", 0o600)
		check("changed", "two", true, "false")
		testfile.Write(t, path, "access_key: thr", 0o600)
		check("cut", "two", false, "true")
		check("still cut", "two", false, "")
		require.NoError(t, os.Remove(path))
		check("gone", "two", false, "true")
		testfile.Write(t, path, "access_key: two\nsecret_key: S", 0o600)
		check("back as it was", "two", true, "false")
		cancel()
		synctest.Wait()
	})
}
