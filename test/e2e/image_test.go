//go:build e2e

package e2e

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ksyun-tap/ksyun-tap/internal/testfile"
)

// containerHost is the network that a test's container is on.
var containerHost = fmt.Sprintf("ksyuntap-container-%d", os.Getpid())

// imageFiles is all that the image holds: mode, owner, name. The user owns the
// directories above its own too, as this builder makes them.
var imageFiles = []string{
	"drwxr-xr-x 0:0 etc/",
	"drwxr-xr-x 0:0 etc/ssl/",
	"drwxr-xr-x 0:0 etc/ssl/certs/",
	"-rw-r--r-- 0:0 etc/ssl/certs/ca-certificates.crt",
	"drwxr-xr-x 0:0 usr/",
	"drwxr-xr-x 0:0 usr/bin/",
	"-rwxr-xr-x 0:0 usr/bin/ksyun-tap",
	"drwxr-xr-x 0:0 usr/share/",
	"drwxr-xr-x 0:0 usr/share/doc/",
	"drwxr-xr-x 0:0 usr/share/doc/ksyun-tap/",
	"-rw-r--r-- 0:0 usr/share/doc/ksyun-tap/LICENSE",
	"-rw-r--r-- 0:0 usr/share/doc/ksyun-tap/THIRD_PARTY_LICENSES",
	"drwxr-xr-x 65532:65532 var/",
	"drwxr-xr-x 65532:65532 var/lib/",
	"drwxr-xr-x 65532:65532 var/lib/ksyun-tap/",
}

// podman works on images and containers of its own, gone with the test.
type podman struct {
	t   *testing.T
	dir string
}

func newPodman(t *testing.T) *podman {
	p := &podman{t, t.TempDir()}
	t.Cleanup(func() {
		p.command("rm", "--all", "--force", "--time=0").Run()
		p.command("rmi", "--all", "--force").Run()
	})
	return p
}

func (p *podman) command(args ...string) *exec.Cmd {
	return exec.Command("podman", append([]string{
		"--root=" + p.dir + "/root", "--runroot=" + p.dir + "/run", "--tmpdir=" + p.dir + "/tmp",
		"--storage-driver=vfs", "--cgroup-manager=cgroupfs", "--events-backend=none", "--runtime=runc",
	}, args...)...)
}

func (p *podman) do(args ...string) string {
	p.t.Helper()
	cmd := p.command(args...)
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		p.t.Fatalf("podman %s: %v\n%s%s", strings.Join(args, " "), err, out, said.String())
	}
	return strings.TrimSpace(string(out))
}

// files lists what an image holds, as imageFiles does.
func (p *podman) files(image string) []string {
	p.t.Helper()
	container := p.do("create", "--network=none", image)
	archive := filepath.Join(p.dir, "files.tar")
	p.do("export", "--output="+archive, container)
	f := must(os.Open(archive))
	defer f.Close()
	var files []string
	for r := tar.NewReader(f); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			p.t.Fatal(err)
		}
		files = append(files, fmt.Sprintf("%v %d:%d %s", h.FileInfo().Mode(), h.Uid, h.Gid, h.Name))
	}
	slices.SortFunc(files, func(a, b string) int { return strings.Compare(name(a), name(b)) })
	return files
}

func name(line string) string { return line[strings.LastIndexByte(line, ' ')+1:] }

// image is what an image's configuration says.
type image struct {
	Architecture, Os string
	Config           struct {
		User, WorkingDir string
		Entrypoint, Cmd  []string
		Env              []string
		Labels           map[string]string
		ExposedPorts     map[string]any
	}
	Healthcheck struct {
		Test []string
	}
}

func (p *podman) inspect(name string) image {
	p.t.Helper()
	var all []image
	if err := json.Unmarshal([]byte(p.do("image", "inspect", name)), &all); err != nil || len(all) != 1 {
		p.t.Fatalf("%d images, %v", len(all), err)
	}
	return all[0]
}

func check(t *testing.T, img image, arch string) {
	t.Helper()
	c := img.Config
	if img.Os != "linux" || img.Architecture != arch {
		t.Errorf("it is for %s/%s, not linux/%s", img.Os, img.Architecture, arch)
	}
	if c.User != "65532:65532" || c.WorkingDir != "/var/lib/ksyun-tap" || !slices.Equal(c.Entrypoint, []string{"/usr/bin/ksyun-tap"}) || len(c.Cmd) != 0 {
		t.Errorf("it runs %q %q as %s in %s", c.Entrypoint, c.Cmd, c.User, c.WorkingDir)
	}
	assert.Equal(t, []string{"CMD", "/usr/bin/ksyun-tap", "ready"}, img.Healthcheck.Test, "its health is checked by")
	if len(c.ExposedPorts) != 2 || c.ExposedPorts["18180/tcp"] == nil || c.ExposedPorts["18181/tcp"] == nil {
		t.Errorf("it exposes %v", c.ExposedPorts)
	}
	for label, want := range map[string]string{"version": "1.2.3", "revision": "0123abc", "licenses": "Apache-2.0", "title": "ksyun-tap"} {
		assert.Equal(t, want, c.Labels["org.opencontainers.image."+label], "label %s is", label)
	}
	for _, label := range []string{"description", "source", "documentation"} {
		assert.NotEmpty(t, c.Labels["org.opencontainers.image."+label], "it has no label %s", label)
	}
}

// buildStatic builds the program as it is released, for a Linux.
func buildStatic(t *testing.T, arch, to string) {
	t.Helper()
	cmd := exec.Command("go", "build", "-C", "../..", "-trimpath", "-ldflags", "-s -w -X github.com/prometheus/common/version.Version=1.2.3", "-o", to, "./cmd/ksyun-tap")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "build for %s\n%s", arch, out)
}

// TestImage makes the image from built binaries, without a base image and so
// without a registry, looks at all of it, and runs the demo in it: as nobody,
// with a root file system that is read-only.
func TestImage(t *testing.T) {
	t.Parallel()
	p := newPodman(t)
	dir := t.TempDir()
	licences := exec.Command("go", "run", "-C", "tools", "./licences", "..")
	licences.Dir = "../.."
	testfile.Write(t, dir+"/THIRD_PARTY_LICENSES", string(must(licences.Output())), 0o600)
	testfile.Write(t, dir+"/LICENSE", string(must(os.ReadFile("../../LICENSE"))), 0o600)
	testfile.Write(t, dir+"/ca-certificates.crt", string(must(os.ReadFile("/etc/ssl/certs/ca-certificates.crt"))), 0o600)
	for _, arch := range []string{"amd64", "arm64"} {
		buildStatic(t, arch, filepath.Join(dir, "linux", arch, "ksyun-tap"))
		p.do("build", "--isolation=chroot", "--format=docker", "--platform=linux/"+arch, "--target=prebuilt",
			"--build-arg=VERSION=1.2.3", "--build-arg=REVISION=0123abc",
			"--file="+deploy+"/docker/Dockerfile", "--tag=ksyun-tap:"+arch, dir)
		check(t, p.inspect("ksyun-tap:"+arch), arch)
		if got := p.files("ksyun-tap:" + arch); !slices.Equal(got, imageFiles) {
			t.Errorf("%s: it holds\n%s\nwant\n%s", arch, strings.Join(got, "\n"), strings.Join(imageFiles, "\n"))
		}
	}
	runImage(t, p, "ksyun-tap:"+runtime.GOARCH)
	redirectByImage(t, p, "ksyun-tap:"+runtime.GOARCH)
}

// runImage runs the demo in the image, looks for a failed call as a user would,
// and stops it.
func runImage(t *testing.T, p *podman, image string) {
	t.Helper()
	newHost(t, containerHost)
	demo := p.command("run", "--name=demo", "--read-only", "--cap-drop=all", "--security-opt=no-new-privileges",
		"--ulimit=nofile=1024:1024", "--ulimit=nproc=1024:1024", "--network=ns:/run/netns/"+containerHost, image, "demo", "--all-codes", "--pace=10ms")
	r, w := io.Pipe()
	demo.Stdout, demo.Stderr = w, w
	container := follow(t, demo, r, w)
	container.wait("Stop it with Ctrl-C.")

	eventually(t, "the health check is content", func() bool {
		return p.command(append([]string{"exec", "demo"}, p.inspect(image).Healthcheck.Test[1:]...)...).Run() == nil
	})
	pid := p.do("inspect", "--format={{.State.Pid}}", "demo")
	status := string(must(os.ReadFile("/proc/" + pid + "/status")))
	for _, want := range []string{"Uid:\t65532\t65532\t65532\t65532\n", "Gid:\t65532\t65532\t65532\t65532\n", "CapEff:\t0000000000000000\n", "NoNewPrivs:\t1\n"} {
		assert.Contains(t, status, want)
	}
	if mounts := string(must(os.ReadFile("/proc/" + pid + "/mountinfo"))); !regexp.MustCompile(`(?m)^\d+ \d+ \S+ \S+ / ro,`).MatchString(mounts) {
		t.Errorf("its root can be written to:\n%s", mounts)
	}

	curl := func(path string) string {
		return within(t, containerHost, "curl", "-sS", "http://127.0.0.1:18180"+path)
	}
	var id string
	eventually(t, "a throttled call", func() bool {
		var found struct {
			Data struct {
				Failures []struct {
					RequestID string `json:"request_id"`
				}
			}
		}
		text := curl("/api/v1/failures?category=throttled&limit=1")
		require.NoError(t, json.Unmarshal([]byte(text), &found), text)
		if len(found.Data.Failures) == 0 {
			return false
		}
		id = found.Data.Failures[0].RequestID
		return true
	})
	assert.Contains(t, p.do("exec", "demo", "/usr/bin/ksyun-tap", "lookup", id), id, "lookup in the container says")
	if got := curl("/metrics"); !regexp.MustCompile(`(?m)^ksyun_api_errors_total\{.*category="throttled".*\} [1-9]`).MatchString(got) {
		t.Errorf("no throttled call among the metrics:\n%s", tail(got, 4<<10))
	}

	p.do("stop", "--time=30", "demo")
	container.wait("done: ", " failed with ")
	if code := p.do("inspect", "--format={{.State.ExitCode}}", "demo"); code != "0" {
		t.Errorf("it ended with code %s", code)
	}
}

// TestImageFromSource makes the image as a user does who has only the source.
// What it is built on cannot be fetched in a test; an image stands in for it
// that holds a shell, and this machine's Go.
func TestImageFromSource(t *testing.T) {
	t.Parallel()
	p := newPodman(t)
	version := regexp.MustCompile(`(?m)^ARG GO_VERSION=(.+)$`).FindStringSubmatch(string(must(os.ReadFile(deploy + "/docker/Dockerfile"))))[1]
	stand := t.TempDir()
	testfile.Write(t, stand+"/Dockerfile", `FROM scratch
COPY busybox /bin/sh
COPY ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
ENV PATH=/usr/local/go/bin:/bin HOME=/root
COPY ca-certificates.crt /tmp/
`, 0o600)
	for from, to := range map[string]string{"/bin/busybox": "busybox", "/etc/ssl/certs/ca-certificates.crt": "ca-certificates.crt"} {
		out, err := exec.Command("cp", from, filepath.Join(stand, to)).CombinedOutput()
		require.NoError(t, err, "%s", out)
	}
	p.do("build", "--format=docker", "--tag=golang:"+version, stand)
	env := strings.Fields(string(must(exec.Command("go", "env", "GOROOT", "GOMODCACHE", "GOCACHE").Output())))
	// The other architecture: a build that needs none of this machine's.
	arch := map[string]string{"amd64": "arm64", "arm64": "amd64"}[runtime.GOARCH]
	p.do("build", "--isolation=chroot", "--network=host", "--format=docker", "--pull=never", "--platform=linux/"+arch,
		"--volume="+env[0]+":/usr/local/go:ro", "--volume="+env[1]+":/root/go/pkg/mod", "--volume="+env[2]+":/root/.cache/go-build",
		"--build-arg=VERSION=1.2.3", "--build-arg=REVISION=0123abc", "--build-arg=BUILDPLATFORM=linux/"+runtime.GOARCH,
		"--file="+deploy+"/docker/Dockerfile", "--tag=ksyun-tap:source", "../..")
	check(t, p.inspect("ksyun-tap:source"), arch)
	if got := p.files("ksyun-tap:source"); !slices.Equal(got, imageFiles) {
		t.Errorf("it holds\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(imageFiles, "\n"))
	}
}

// redirectByImage has the image set the rules of the transparent way in and take
// them back, as an init container does: as root, with NET_ADMIN and no more.
func redirectByImage(t *testing.T, p *podman, image string) {
	t.Helper()
	run := func(args ...string) {
		t.Helper()
		p.do(append([]string{
			"run", "--rm", "--user=0:0", "--read-only", "--cap-drop=all", "--cap-add=NET_ADMIN", "--security-opt=no-new-privileges",
			"--ulimit=nofile=1024:1024", "--ulimit=nproc=1024:1024", "--network=ns:/run/netns/" + containerHost, image, "init-redirect",
		}, args...)...)
	}
	run("--exclude-uid=65532")
	assert.Contains(t, within(t, containerHost, "nft", "list", "ruleset"), "table inet ksyun_tap", "the rules are")
	run("--undo")
	assert.NotContains(t, within(t, containerHost, "nft", "list", "ruleset"), "ksyun_tap", "what is left is")
}
