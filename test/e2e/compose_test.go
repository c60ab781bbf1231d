//go:build e2e

package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// loadCompose reads files as docker compose config does: by the schema, with no
// unknown key, and whatever they name among themselves there.
func loadCompose(t *testing.T, files ...string) *types.Project {
	t.Helper()
	var paths []string
	for _, f := range files {
		paths = append(paths, deploy+"/compose/"+f)
	}
	options := must(cli.NewProjectOptions(paths, cli.WithResolvedPaths(true), cli.WithConsistency(true)))
	project, err := options.LoadProject(t.Context())
	require.NoError(t, err)
	return project
}

// rootOf copies the files of this tree that a service mounts to their places
// below a directory.
func rootOf(t *testing.T, s types.ServiceConfig) string {
	t.Helper()
	root := t.TempDir()
	for _, v := range s.Volumes {
		if v.Type != types.VolumeTypeBind {
			continue
		}
		assert.True(t, v.ReadOnly, "%s: %s is mounted writable", s.Name, v.Source)
		info, err := os.Stat(v.Source)
		require.NoError(t, err, s.Name)
		to := filepath.Join(root, v.Target)
		require.NoError(t, os.MkdirAll(filepath.Dir(to), 0o755))
		if info.IsDir() {
			err = os.CopyFS(to, os.DirFS(v.Source))
		} else {
			err = os.WriteFile(to, must(os.ReadFile(v.Source)), 0o600)
		}
		require.NoError(t, err)
	}
	return root
}

func environment(s types.ServiceConfig) (env []string) {
	for k, v := range s.Environment {
		env = append(env, k+"="+*v)
	}
	return env
}

// argument is the value of a flag in a service's command.
func argument(t *testing.T, s types.ServiceConfig, flag string) string {
	t.Helper()
	for _, a := range s.Command {
		if v, ok := strings.CutPrefix(a, flag+"="); ok {
			return v
		}
	}
	t.Fatalf("%s has no %s", s.Name, flag)
	return ""
}

func TestCompose(t *testing.T) {
	t.Parallel()
	pinned := regexp.MustCompile(`^[a-z0-9-]+/[a-z0-9-]+:v?\d+\.\d+\.\d+$`)
	for _, files := range [][]string{{"compose.yaml"}, {"compose.yaml", "program.yaml"}} {
		project := loadCompose(t, files...)
		assert.GreaterOrEqual(t, len(project.Services), 7, "%v: %d services", files, len(project.Services))
		for name, s := range project.Services {
			if s.Build != nil {
				_, err := os.Stat(filepath.Join(s.Build.Context, s.Build.Dockerfile))
				assert.NoError(t, err, name)
			} else if !pinned.MatchString(s.Image) {
				t.Errorf("%s: the image %s is not pinned to a version", name, s.Image)
			}
			for _, p := range s.Ports {
				assert.Equal(t, "127.0.0.1", p.HostIP, "%s: port %s is published on", name, p.Published)
			}
			hosts(t, project, s)
		}
	}
}

// hosts checks that each host that a service is configured to call is also a
// service.
func hosts(t *testing.T, project *types.Project, s types.ServiceConfig) {
	t.Helper()
	texts := environment(s)
	root := rootOf(t, s)
	for _, v := range s.Volumes {
		if filepath.Ext(v.Target) == ".yaml" {
			texts = append(texts, string(must(os.ReadFile(filepath.Join(root, v.Target)))))
		}
	}
	for _, m := range regexp.MustCompile(`(?m)^[^#]*?[/" =-]([a-z]+):\d{4,5}\b`).FindAllStringSubmatch(strings.Join(texts, "\n"), -1) {
		if _, err := project.GetService(m[1]); err != nil {
			t.Errorf("%s: %s: %v", s.Name, m[0], err)
		}
	}
}

// TestComposeSettings checks each program's configuration with the program's
// own tool. There is none for Tempo here, and Loki has its default
// configuration.
func TestComposeSettings(t *testing.T) {
	t.Parallel()
	project := loadCompose(t, "compose.yaml")
	run := func(env []string, name string, args ...string) string {
		t.Helper()
		cmd := exec.Command(name, args...)
		cmd.Env = append(os.Environ(), env...)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
		}
		return string(out)
	}

	s := project.Services["prometheus"]
	out := run(nil, "promtool", "check", "config", filepath.Join(rootOf(t, s), argument(t, s, "--config.file")))
	assert.Contains(t, out, "1 rule files found", "Prometheus reads no rules")
	s = project.Services["alertmanager"]
	out = run(nil, "amtool", "check-config", filepath.Join(rootOf(t, s), argument(t, s, "--config.file")))
	assert.Contains(t, out, "1 templates", "Alertmanager reads no templates")
	s = project.Services["collector"]
	run(append(environment(s), "COLLECTOR_STATE_DIR="+t.TempDir()), otelcol, "validate", "--config="+filepath.Join(rootOf(t, s), argument(t, s, "--config")))

	grafana := rootOf(t, project.Services["grafana"])
	for _, kind := range []string{"datasources", "dashboards"} {
		if files, _ := filepath.Glob(grafana + "/etc/grafana/provisioning/" + kind + "/*.yaml"); len(files) == 0 {
			t.Errorf("Grafana is given no %s", kind)
		}
	}
	path := regexp.MustCompile(`path: (\S+)`).FindStringSubmatch(string(must(os.ReadFile(grafana + "/etc/grafana/provisioning/dashboards/ksyun-tap.yaml"))))
	if files, _ := filepath.Glob(filepath.Join(grafana, path[1], "*.json")); len(files) < 4 {
		t.Errorf("Grafana is given %d dashboards in %s", len(files), path[1])
	}

	// The demo, with its command and variables, but for where it listens here.
	s = project.Services["tap"]
	elsewhere := []string{
		"KSYUN_TAP_WEB_LISTEN_ADDRESS=127.0.0.1:0", "KSYUN_TAP_WEB_ADMIN_LISTEN_ADDRESS=127.0.0.1:0", "KSYUN_TAP_PROXY_LISTEN_ADDRESS=127.0.0.1:0",
		"KSYUN_TAP_LOG_FILE=" + filepath.Join(t.TempDir(), "tap.log"),
	}
	help := run(nil, binary, "run", "--help")
	for name := range s.Environment {
		if strings.HasPrefix(name, "KSYUN_TAP_") && !strings.Contains(help, "($"+name+")") {
			t.Errorf("the tap has no setting %s", name)
		}
	}
	run(environment(s), binary, "check-config", "--log.file="+filepath.Join(t.TempDir(), "tap.log"))
	if out := run(append(environment(s), elsewhere...), binary, append(slices.Clone(s.Command), "--for=1s")...); !strings.Contains(out, "done: ") {
		t.Errorf("the demo says:\n%s", out)
	}
	s = loadCompose(t, "compose.yaml", "program.yaml").Services["tap"]
	if !slices.Equal(s.Command, []string{"run"}) {
		t.Errorf("a program is tapped by %q", s.Command)
	}
	run(environment(s), binary, "check-config", "--log.file="+filepath.Join(t.TempDir(), "tap.log"))
}
