//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ksyun-tap/ksyun-tap/internal/testfile"
)

// The versions that are packed: one that is installed, one to upgrade to.
const (
	oldVersion = "1.0.0"
	newVersion = "1.1.0"
)

// packages packs a version and returns the directory of what came out.
var packages = func() func(t *testing.T, version string) string {
	var mu sync.Mutex
	made := map[string]string{}
	return func(t *testing.T, version string) string {
		t.Helper()
		mu.Lock()
		defer mu.Unlock()
		if made[version] == "" {
			made[version] = pack(t, version, filepath.Join(filepath.Dir(binary), "packages-"+version))
		}
		return made[version]
	}
}()

func pack(t *testing.T, version, dir string) string {
	t.Helper()
	runIn(t, "../..", nil, "make", "packages", "VERSION="+version, "PACKAGES="+dir)
	return dir
}

// run runs a command that has to succeed, and returns what it printed.
func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := tryRun(t, name, args...)
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return out
}

func tryRun(t *testing.T, name string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C.UTF-8")
	cmd.WaitDelay = patience
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// onlyFile is the only file that matches.
func onlyFile(t *testing.T, pattern string) string {
	t.Helper()
	found, err := filepath.Glob(pattern)
	if err != nil || len(found) != 1 {
		t.Fatalf("%s: %v, %v, want one file", pattern, found, err)
	}
	return found[0]
}

// debianRoot is a minimal system in a directory of its own.
func debianRoot(t *testing.T) string {
	t.Helper()
	root := filepath.Join(t.TempDir(), "root")
	require.NoError(t, os.Mkdir(root, 0o755))
	run(t, "tar", "-C", root, "-xf", "../../.bin/debian.tar")
	return root
}

// files lists what is in a root, but for what the system itself writes as it
// runs: logs, its package manager's and its service manager's own accounts.
func files(t *testing.T, root string) map[string]string {
	t.Helper()
	all := map[string]string{}
	// A root may be a link, which is not followed where it ends the path.
	err := filepath.WalkDir(root+"/", func(path string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // gone while we looked: a process, say
		}
		if err != nil {
			return err
		}
		name := "/" + strings.TrimPrefix(path, root+"/")
		switch name {
		case "/proc", "/sys", "/dev", "/tmp", "/var/tmp", "/var/log", "/var/cache/ldconfig",
			"/run/systemd", "/run/log", "/run/host", "/var/lib/systemd", "/var/lib/dpkg":
			return fs.SkipDir
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		size := int64(0)
		if info.Mode().IsRegular() {
			size = info.Size()
		}
		all[name] = fmt.Sprint(info.Mode(), " ", size)
		return nil
	})
	if err != nil || len(all) < 1000 {
		t.Fatalf("%d files in %s: %v", len(all), root, err)
	}
	return all
}

// sameFiles compares two lists of files.
func sameFiles(t *testing.T, before, after map[string]string) {
	t.Helper()
	for name, is := range after {
		switch was, ok := before[name]; {
		case !ok:
			t.Errorf("left behind: %s (%s)", name, is)
		case was != is:
			t.Errorf("changed: %s from %s to %s", name, was, is)
		}
	}
	for name := range before {
		_, ok := after[name]
		assert.True(t, ok, "gone: %s", name)
	}
}

// machine is a booted system: systemd of its own, in namespaces.
type machine struct {
	t    *testing.T
	root string
	pid  string // of its init
}

// boot boots a root on the network of a host.
func boot(t *testing.T, root, network string) *machine {
	t.Helper()
	cmd := exec.Command("systemd-nspawn", "--quiet", "--directory="+root, "--boot", "--machine="+network,
		"--register=no", "--keep-unit", "--console=pipe", "--resolv-conf=off", "--timezone=off",
		"--network-namespace-path=/run/netns/"+network, "--capability=CAP_NET_ADMIN,CAP_NET_RAW")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	r, w, err := os.Pipe()
	require.NoError(t, err)
	cmd.Stdout, cmd.Stderr = w, w
	p := follow(t, cmd, r, w)
	m := &machine{t: t, root: root}
	t.Cleanup(func() {
		exec.Command("nsenter", "--target="+m.pid, "--mount", "--pid", "systemctl", "poweroff").Run()
		select {
		case <-p.exit:
		case <-time.After(patience):
			t.Error("the machine does not power off")
		}
	})
	eventually(t, "the machine's init runs", func() bool {
		children, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", cmd.Process.Pid, cmd.Process.Pid))
		m.pid, _, _ = strings.Cut(string(children), " ")
		_, err := os.Stat(m.path("/run/systemd/private"))
		return m.pid != "" && err == nil
	})
	if out := m.run("systemctl", "is-system-running", "--wait"); out != "running\n" {
		t.Fatalf("the machine is %s%s", out, m.run("systemctl", "--failed", "--no-pager"))
	}
	return m
}

// path is a file of the machine as this host sees it, mounts included.
func (m *machine) path(name string) string { return "/proc/" + m.pid + "/root" + name }

func (m *machine) enter(args ...string) []string {
	return append([]string{"--target=" + m.pid, "--mount", "--uts", "--ipc", "--net", "--pid", "--"}, args...)
}

func (m *machine) run(args ...string) string {
	m.t.Helper()
	return run(m.t, "nsenter", m.enter(args...)...)
}

// is returns the value of a unit's property.
func (m *machine) is(unit, property string) string {
	m.t.Helper()
	return strings.TrimSpace(m.run("systemctl", "show", "--value", "--property="+property, unit))
}

// install has the machine install a package.
func (m *machine) install(dir string) {
	m.t.Helper()
	deb, err := os.ReadFile(onlyFile(m.t, filepath.Join(dir, "*.deb")))
	if err != nil {
		m.t.Fatal(err)
	}
	m.write("/tmp/package.deb", string(deb))
	m.run("dpkg", "--install", "/tmp/package.deb")
	m.run("rm", "/tmp/package.deb")
}

func (m *machine) write(name, text string) {
	m.t.Helper()
	if err := os.MkdirAll(filepath.Dir(m.path(name)), 0o755); err != nil {
		m.t.Fatal(err)
	}
	if err := os.WriteFile(m.path(name), []byte(text), 0o644); err != nil {
		m.t.Fatal(err)
	}
}

func (m *machine) read(name string) string {
	m.t.Helper()
	text, err := os.ReadFile(m.path(name))
	if err != nil {
		m.t.Fatal(err)
	}
	return string(text)
}

// calls returns how many calls the machine's tap has seen.
func (m *machine) calls() float64 {
	m.t.Helper()
	var sum float64
	for line := range strings.Lines(m.metrics()) {
		if strings.HasPrefix(line, "ksyun_api_requests_total{") {
			n, err := strconv.ParseFloat(strings.TrimSpace(line[strings.LastIndexByte(line, ' ')+1:]), 64)
			if err != nil {
				m.t.Fatal(err)
			}
			sum += n
		}
	}
	return sum
}

func (m *machine) metrics() string {
	m.t.Helper()
	return within(m.t, programs, "curl", "--silent", "--fail", "--max-time", "10", "http://127.0.0.1:18180/metrics")
}

// call makes one unsigned call, which the API refuses in its own words.
func (m *machine) call(args ...string) {
	m.t.Helper()
	out := within(m.t, programs, append([]string{"curl", "--silent", "--max-time", "20"}, args...)...)
	if !strings.Contains(out, "MissingAuthenticationToken") && !strings.Contains(out, "<Error>") && !strings.Contains(out, `"Error"`) {
		m.t.Errorf("curl %s: the API does not answer: %q", strings.Join(args, " "), out)
	}
}

const listMetrics = "monitor.api.ksyun.com/?Action=ListMetrics&Version=2010-05-25"

// TestDebianPackage takes a machine from nothing to a tapped program, through an
// upgrade and back, and to nothing again.
func TestDebianPackage(t *testing.T) {
	t.Parallel()
	connectHosts(t)
	vendorCA := testfile.Read(t, serve(t))
	m := boot(t, debianRoot(t), programs)
	m.write("/etc/hosts", "127.0.0.1 localhost\n10.77.0.2 "+apiHost+"\n")
	before := files(t, m.path(""))

	m.install(packages(t, oldVersion))
	for _, unit := range []string{"ksyun-tap.service", "ksyun-tap.socket", "ksyun-tap-redirect.service"} {
		if active, state := m.is(unit, "ActiveState"), m.is(unit, "UnitFileState"); active != "inactive" || state != "disabled" {
			t.Errorf("%s is %s and %s after it was installed", unit, active, state)
		}
	}
	out := m.run("ksyun-tap", "check-config", "--config.file=/etc/ksyun-tap/ksyun-tap.yaml")
	assert.Equal(t, "the settings are valid\n", out, "check-config")
	m.run("systemd-analyze", "verify", "--man=no", "ksyun-tap.service", "ksyun-tap.socket", "ksyun-tap-redirect.service")
	for unit, most := range exposure {
		out := m.run("systemd-analyze", "security", "--no-pager", "--offline=true", "--threshold="+strconv.Itoa(most), unit)
		t.Log(strings.TrimSpace(out[strings.LastIndex(out, "→"):]))
	}

	// As it is installed, and with interception and an address of its own, whose
	// keys are a credential that root alone can read.
	m.run("systemctl", "enable", "--now", "ksyun-tap")
	m.call("--proxy", "127.0.0.1:18181", "http://"+listMetrics)
	assert.EqualValues(t, 1, m.calls(), "calls")
	m.write("/etc/ksyun-tap/vendor.pem", string(vendorCA))
	settings := m.read("/etc/ksyun-tap/ksyun-tap.yaml") + `
intercept: true
upstream.ca-file: /etc/ksyun-tap/vendor.pem
transparent.listen-address: [127.0.0.1:18183, "[::1]:18183"]
resign.listen-address: 127.0.0.1:18182
resign.credentials-file: /run/credentials/ksyun-tap.service/keys.yaml
`
	m.write("/etc/ksyun-tap/ksyun-tap.yaml", settings)
	m.write("/etc/ksyun-tap/keys.yaml", "access_key: "+good.AccessKey+"\nsecret_key: "+good.SecretKey+"\n")
	m.run("chmod", "600", "/etc/ksyun-tap/keys.yaml")
	m.write("/etc/systemd/system/ksyun-tap.service.d/keys.conf", "[Service]\nLoadCredential=keys.yaml:/etc/ksyun-tap/keys.yaml\n")
	m.run("systemctl", "daemon-reload")
	m.run("systemctl", "restart", "ksyun-tap")
	m.call("--proxy", "127.0.0.1:18181", "--cacert", m.path("/run/ksyun-tap/bundle.pem"), "https://"+listMetrics)
	if out := within(t, programs, "curl", "--silent", "--max-time", "20", "http://127.0.0.1:18182/?Action=ListMetrics&Version=2010-05-25"); !strings.Contains(out, "listMetricsResult") && !strings.Contains(out, "ListMetricsResult") {
		t.Errorf("a call without keys, to the re-signing address: %s", out)
	}
	assert.EqualValues(t, 2, m.calls(), "calls")
	assert.NotEqual(t, "0", m.is("ksyun-tap", "WatchdogTimestampMonotonic"), "the watchdog never got a keep-alive")
	user := within(t, programs, "stat", "-c", "%u", "/proc/"+m.hostPID("ksyun-tap"))
	user = strings.TrimSpace(user)
	assert.NotEqual(t, "0", user, "the tap runs as root")
	if info, err := os.Stat(m.path("/var/lib/private")); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the way to the CA's key: %v, %v", info, err)
	}

	// A reload, also of settings that are wrong.
	m.write("/etc/ksyun-tap/ksyun-tap.yaml", settings+"log.level: nonsense\n")
	m.run("systemctl", "reload", "ksyun-tap")
	eventually(t, "the status reports the failure", func() bool {
		return strings.HasPrefix(m.is("ksyun-tap", "StatusText"), "reload failed, the old settings remain in use")
	})
	m.write("/etc/ksyun-tap/ksyun-tap.yaml", settings)
	m.run("systemctl", "reload", "ksyun-tap")
	eventually(t, "the settings are reloaded", func() bool {
		return strings.HasPrefix(m.is("ksyun-tap", "StatusText"), "tapping on 127.0.0.1:18181")
	})

	// Redirection comes and goes with the tap, also when it is killed.
	m.run("systemctl", "enable", "--now", "ksyun-tap-redirect")
	m.call("--resolve", apiHost+":80:10.77.0.2", "http://"+listMetrics)
	assert.EqualValues(t, 3, m.calls(), "calls")
	rules := m.run("nft", "list", "ruleset")
	assert.Contains(t, rules, user, "the tap's user, %s, is not left out: %s", user, rules)
	killed := m.is("ksyun-tap", "MainPID")
	m.run("systemctl", "kill", "--signal=KILL", "ksyun-tap")
	eventually(t, "tap and redirection are back", func() bool {
		return m.is("ksyun-tap", "ActiveState") == "active" && m.is("ksyun-tap", "MainPID") != killed &&
			m.is("ksyun-tap-redirect", "ActiveState") == "active"
	})
	m.call("--resolve", apiHost+":80:10.77.0.2", "http://"+listMetrics)
	assert.EqualValues(t, 1, m.calls(), "calls after it was killed")
	m.run("systemctl", "stop", "ksyun-tap")
	if rules := m.run("nft", "list", "ruleset"); rules != "" {
		t.Errorf("the tap stands still, and these rules lead to it:\n%s", rules)
	}

	// The socket is held by the system, and the first call starts the tap.
	m.run("systemctl", "enable", "--now", "ksyun-tap.socket")
	assert.Equal(t, "inactive", m.is("ksyun-tap", "ActiveState"), "with its socket alone, the tap is")
	m.call("--proxy", "127.0.0.1:18181", "http://"+listMetrics)
	assert.Equal(t, "active", m.is("ksyun-tap", "ActiveState"), "after a call to its socket, the tap is")

	// An upgrade, and the way back: the settings and the CA stay.
	authority := m.run("sha256sum", "/run/ksyun-tap/ca.pem")
	for _, version := range []string{newVersion, oldVersion} {
		m.install(packages(t, version))
		eventually(t, "version "+version+" runs", func() bool {
			out, err := tryRun(t, "ip", "netns", "exec", programs, "curl", "--silent", "http://127.0.0.1:18180/metrics")
			return err == nil && strings.Contains(out, `version="`+version+`"`)
		})
		assert.Equal(t, settings, m.read("/etc/ksyun-tap/ksyun-tap.yaml"), "version %s changed the settings", version)
		if got := m.run("sha256sum", "/run/ksyun-tap/ca.pem"); got != authority {
			t.Errorf("version %s has another CA", version)
		}
		m.call("--proxy", "127.0.0.1:18181", "--cacert", m.path("/run/ksyun-tap/bundle.pem"), "https://"+listMetrics)
	}

	// Removed, the settings are left for another time; purged, nothing is.
	m.run("dpkg", "--remove", "ksyun-tap")
	if out, err := tryRun(t, "nsenter", m.enter("systemctl", "is-active", "ksyun-tap.service", "ksyun-tap.socket", "ksyun-tap-redirect.service")...); err == nil {
		t.Errorf("removed, and active: %s", out)
	}
	if got := m.read("/etc/ksyun-tap/ksyun-tap.yaml"); got != settings {
		t.Error("the settings are gone though they were not purged")
	}
	m.run("dpkg", "--purge", "ksyun-tap")
	m.run("rm", "-r", "/etc/systemd/system/ksyun-tap.service.d") // by whom it was written: us
	sameFiles(t, before, files(t, m.path("")))
}

// exposure is the most that systemd-analyze security may say of a unit, in
// tenths: the rest is that the tap works on the host's network.
var exposure = map[string]int{"ksyun-tap.service": 16, "ksyun-tap-redirect.service": 26}

// hostPID is the process of a service, as this host counts.
func (m *machine) hostPID(service string) string {
	m.t.Helper()
	inside := m.is(service, "MainPID")
	found, err := filepath.Glob("/proc/[0-9]*/status")
	if err != nil {
		m.t.Fatal(err)
	}
	for _, name := range found {
		status, err := os.ReadFile(name)
		if err == nil && bytes.Contains(status, []byte("\nName:\tksyun-tap\n")) || bytes.HasPrefix(status, []byte("Name:\tksyun-tap\n")) {
			if regexp.MustCompile(`(?m)^NSpid:\t\d+\t` + inside + `$`).Match(status) {
				return strings.Split(name, "/")[2]
			}
		}
	}
	m.t.Fatalf("no process is %s of %s", inside, service)
	return ""
}

// TestPackageWithoutServiceManager installs where nothing runs, as images are
// built, and leaves nothing there.
func TestPackageWithoutServiceManager(t *testing.T) {
	t.Parallel()
	root := debianRoot(t)
	before := files(t, root)
	dir := packages(t, oldVersion)
	run(t, "cp", onlyFile(t, filepath.Join(dir, "*.deb")), filepath.Join(root, "package.deb"))
	run(t, "chroot", root, "dpkg", "--install", "/package.deb")
	os.Remove(filepath.Join(root, "package.deb"))
	run(t, "chroot", root, "ksyun-tap", "check-config", "--config.file=/etc/ksyun-tap/ksyun-tap.yaml")
	assert.Contains(t, run(t, "chroot", root, "ksyun-tap", "version"), "version "+oldVersion, "it says that it is")
	run(t, "chroot", root, "systemctl", "enable", "ksyun-tap.service")
	run(t, "chroot", root, "dpkg", "--purge", "ksyun-tap")
	sameFiles(t, before, files(t, root))
}

// TestPackagesHoldTheSame compares what the three kinds hold, and each with
// itself packed again.
func TestPackagesHoldTheSame(t *testing.T) {
	t.Parallel()
	dir := packages(t, oldVersion)
	again := pack(t, oldVersion, filepath.Join(t.TempDir(), "again"))
	holds := map[string]map[string]string{}
	for kind, list := range map[string]func(string) string{
		"deb": func(f string) string {
			return run(t, "sh", "-c", `dpkg-deb --fsys-tarfile "$1" | tar -t | sed 's,^\.,,'`, "sh", f)
		},
		"rpm": func(f string) string { return run(t, "rpm", "--query", "--package", "--list", f) },
		"apk": func(f string) string {
			return run(t, "sh", "-c", `tar -tzf "$1" 2>/dev/null | sed 's,^,/,'`, "sh", f)
		},
	} {
		file := onlyFile(t, filepath.Join(dir, "*."+kind))
		first, err1 := os.ReadFile(file)
		second, err2 := os.ReadFile(onlyFile(t, filepath.Join(again, "*."+kind)))
		if err := errors.Join(err1, err2); err != nil || !bytes.Equal(first, second) {
			t.Errorf("%s: packed twice, they differ (%v)", kind, err)
		}
		holds[kind] = map[string]string{}
		for line := range strings.Lines(list(file)) {
			name := strings.TrimSpace(line)
			if !strings.HasSuffix(name, "/") && !strings.HasPrefix(name, "/.") && name != "/etc/ksyun-tap" {
				// The one path that differs.
				name = strings.Replace(name, "vendor-completions", "site-functions", 1)
				holds[kind][name] = ""
			}
		}
	}
	for _, want := range []string{
		"/usr/bin/ksyun-tap", "/etc/ksyun-tap/ksyun-tap.yaml", "/usr/share/man/man1/ksyun-tap.1.gz", "/usr/share/doc/ksyun-tap/copyright",
		"/usr/share/bash-completion/completions/ksyun-tap", "/usr/lib/systemd/system/ksyun-tap.service",
	} {
		_, ok := holds["deb"][want]
		assert.True(t, ok, "the deb lacks %s", want)
	}
	if !maps.Equal(holds["deb"], holds["rpm"]) {
		t.Errorf("deb and rpm differ: %v and %v", slices.Sorted(maps.Keys(holds["deb"])), slices.Sorted(maps.Keys(holds["rpm"])))
	}
	// Alpine has another service manager.
	maps.DeleteFunc(holds["deb"], func(name, _ string) bool { return strings.HasPrefix(name, "/usr/lib/systemd/") })
	delete(holds["apk"], "/etc/init.d/ksyun-tap")
	if !maps.Equal(holds["deb"], holds["apk"]) {
		t.Errorf("deb and apk differ: %v and %v", slices.Sorted(maps.Keys(holds["deb"])), slices.Sorted(maps.Keys(holds["apk"])))
	}
	got := run(t, "rpm", "--query", "--package", "--configfiles", onlyFile(t, filepath.Join(dir, "*.rpm")))
	assert.Equal(t, "/etc/ksyun-tap/ksyun-tap.env\n/etc/ksyun-tap/ksyun-tap.yaml\n", got, "the rpm's configuration")
	for _, script := range []string{"postinstall.sh", "preremove.sh", "postremove.sh", "preinstall-alpine.sh", "postremove-alpine.sh", "ksyun-tap.openrc"} {
		run(t, "sh", "-n", "../../deploy/packages/"+script)
	}
}

// TestManualAndCompletions asks the programs that read them.
func TestManualAndCompletions(t *testing.T) {
	t.Parallel()
	inputs := onlyFile(t, filepath.Join(packages(t, oldVersion), "inputs-*"))
	page := filepath.Join(inputs, "ksyun-tap.1.gz")
	out := run(t, "lexgrog", page)
	assert.Contains(t, out, `"ksyun-tap - tap on calls of the Ksyun Cloud Monitor API"`, "what apropos reads")
	cmd := exec.Command("man", "--local-file", "--warnings", "-Tutf8", page)
	cmd.Env = append(os.Environ(), "MANWIDTH=120", "LC_ALL=C.UTF-8", "MAN_KEEP_FORMATTING=")
	var text, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &text, &said
	if err := cmd.Run(); err != nil || said.Len() > 0 {
		t.Errorf("man: %v\n%s", err, said.String())
	}
	plain := regexp.MustCompile(`\x1b\[[0-9;]*m|.\x08`).ReplaceAllString(text.String(), "")
	for _, want := range []string{"--proxy.listen-address", "KSYUN_TAP_PROXY_LISTEN_ADDRESS", "init-redirect", "--exclude-uid", "EXIT STATUS", oldVersion} {
		assert.Contains(t, plain, want, "the page lacks")
	}
	path := "PATH=" + inputs + ":" + os.Getenv("PATH")
	for shell, args := range map[string][]string{
		"bash": {"-c", `. "$0/ksyun-tap.bash"; COMP_WORDS=(ksyun-tap init-redirect --exc); COMP_CWORD=2; _ksyun-tap_bash_autocomplete; printf '%s\n' "${COMPREPLY[@]}"`, inputs},
		"fish": {"--no-config", "-c", `source ../../deploy/packages/ksyun-tap.fish; complete -C 'ksyun-tap init-redirect --exc'`},
	} {
		cmd := exec.Command(shell, args...)
		cmd.Env = append(os.Environ(), path, "HOME="+t.TempDir())
		out, err := cmd.CombinedOutput()
		got := strings.Fields(string(out))
		slices.Sort(got)
		if want := []string{"--exclude-cidr", "--exclude-mark", "--exclude-uid"}; err != nil || !slices.Equal(got, want) {
			t.Errorf("%s completes to %q (%v), want %q", shell, got, err, want)
		}
	}
}
