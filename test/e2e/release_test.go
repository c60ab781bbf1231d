//go:build e2e

package e2e

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	releaseVersion = "9.8.7"
	// maxBinary is what the binary for Linux may take, in bytes: what grows past
	// it is to be argued for.
	maxBinary = 23 << 20
)

// sourceCopy lays this tree out once more, as a repository of its own with one
// tagged commit.
func sourceCopy(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for file := range strings.Lines(string(must(exec.Command("git", "-C", "../..", "ls-files", "--cached", "--others", "--exclude-standard").Output()))) {
		file = strings.TrimSpace(file)
		data, err := os.ReadFile("../../" + file)
		if errors.Is(err, os.ErrNotExist) {
			continue // removed, and not yet committed
		}
		to := filepath.Join(dir, file)
		if err == nil {
			err = os.MkdirAll(filepath.Dir(to), 0o755)
		}
		if err == nil {
			err = os.WriteFile(to, data, 0o644)
		}
		require.NoError(t, err)
	}
	for _, args := range [][]string{
		{"init", "--quiet"},
		{"add", "--all"},
		{"-c", "user.name=x", "-c", "user.email=x@example.com", "commit", "--quiet", "--message=x"},
		{"tag", "v" + releaseVersion},
		{"remote", "add", "origin", "https://github.com/ksyun-tap/ksyun-tap.git"}, // never called
	} {
		runIn(t, dir, nil, "git", args...)
	}
	return dir
}

func runIn(t *testing.T, dir string, env []string, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, tail(string(out), 8<<10))
	}
	return strings.TrimSpace(string(out))
}

// TestRelease makes a release as .goreleaser.yaml says, and looks at all that it
// holds. Not tried are what it takes a registry, or a name to sign with, for.
func TestRelease(t *testing.T) {
	t.Parallel()
	tools := must(filepath.Abs("../../.bin"))
	src := sourceCopy(t)
	runIn(t, src, []string{"KSYUN_TAP_IMAGE=registry.example/ksyun-tap"},
		"make", "release", "BIN="+tools, "RELEASE_FLAGS=--skip=publish,docker,sign")
	dist := filepath.Join(src, "dist")

	notes := string(must(os.ReadFile(tools + "/notes.md")))
	assert.True(t, strings.HasPrefix(strings.TrimSpace(notes), "* ["), "release notes: %q", notes)

	sums := string(must(os.ReadFile(dist + "/SHA256SUMS")))
	for _, platform := range []string{"linux_amd64.tar.gz", "linux_arm64.tar.gz", "darwin_amd64.tar.gz", "darwin_arm64.tar.gz", "windows_amd64.zip"} {
		name := "ksyun-tap_" + releaseVersion + "_" + platform
		platform, suffix, _ := strings.Cut(platform, ".")
		archive := must(os.ReadFile(filepath.Join(dist, name)))
		sum := sha256.Sum256(archive)
		assert.Contains(t, sums, hex.EncodeToString(sum[:])+"  "+name, "the checksum of %s is not among", name)
		exe := "ksyun-tap"
		if suffix == "zip" {
			exe += ".exe"
		}
		var want []string
		for _, file := range []string{"CHANGELOG.md", "LICENSE", "README.md", "SECURITY.md", "THIRD_PARTY_LICENSES", exe} {
			want = append(want, strings.TrimSuffix(name, "."+suffix)+"/"+file)
		}
		assert.Equal(t, want, listArchive(t, archive, suffix), "%s holds", name)
		checkSBOM(t, filepath.Join(dist, "ksyun-tap_"+releaseVersion+"_"+platform+".cdx.json"))
	}

	binaries := must(filepath.Glob(dist + "/ksyun-tap_linux_amd64*/ksyun-tap"))
	released := must(os.ReadFile(binaries[0]))
	assert.LessOrEqual(t, len(released), maxBinary, "the binary has %d bytes, and may have %d", len(released), maxBinary)
	t.Logf("the binary has %d bytes", len(released))
	if runtime.GOARCH == "amd64" {
		assert.Contains(t, runIn(t, ".", nil, binaries[0], "version"), "version "+releaseVersion, "it says of itself")
	}

	// Once more, in another directory, with nothing left of the first build: as
	// somebody does who checks what they were given.
	again := filepath.Join(t.TempDir(), "ksyun-tap")
	commit := runIn(t, src, nil, "git", "rev-parse", "HEAD")
	runIn(t, "../..", []string{"CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64", "GOCACHE=" + t.TempDir()},
		"go", "build", "-trimpath", "-buildvcs=false", "-o", again, "-ldflags", "-s -w"+
			" -X github.com/prometheus/common/version.Version="+releaseVersion+
			" -X github.com/prometheus/common/version.Revision="+commit, "./cmd/ksyun-tap")
	if !bytes.Equal(must(os.ReadFile(again)), released) {
		t.Error("two builds of the same commit differ")
	}
}

// listArchive returns the names of the files in an archive, in order.
func listArchive(t *testing.T, archive []byte, suffix string) (names []string) {
	t.Helper()
	if suffix == "zip" {
		for _, f := range must(zip.NewReader(bytes.NewReader(archive), int64(len(archive)))).File {
			names = append(names, f.Name)
		}
	} else {
		for r := tar.NewReader(must(gzip.NewReader(bytes.NewReader(archive)))); ; {
			h, err := r.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			require.NoError(t, err)
			names = append(names, h.Name)
		}
	}
	slices.Sort(names)
	return names
}

// checkSBOM looks for what is linked in a bill of materials.
func checkSBOM(t *testing.T, file string) {
	t.Helper()
	var bom struct {
		BomFormat string
		Metadata  struct {
			Component struct{ Name, Version string }
		}
		// Of each module and Go itself.
		Components []struct{ Name, Version, Purl string }
	}
	require.NoError(t, json.Unmarshal(must(os.ReadFile(file)), &bom), file)
	var names []string
	for _, c := range bom.Components {
		if c.Version == "" || c.Purl == "" {
			t.Errorf("%s: %s has no version or purl", file, c.Name)
		}
		names = append(names, c.Name)
	}
	for _, want := range []string{"std", "go.uber.org/zap", "github.com/prometheus/client_golang", "go.opentelemetry.io/otel"} {
		assert.Contains(t, names, want, "%s does not name", file)
	}
	if bom.BomFormat != "CycloneDX" || bom.Metadata.Component.Version != releaseVersion {
		t.Errorf("%s is of %+v", file, bom.Metadata.Component)
	}
	assert.NotContains(t, names, "go.uber.org/goleak", "%s names what only tests use", file)
}
