//go:build e2e

package e2e

import (
	"runtime"
	"testing"
)

// TestOtherArchitecture runs the tests of what is written in assembly on the other
// architecture that there is such code for, in an emulator.
func TestOtherArchitecture(t *testing.T) {
	t.Parallel()
	arch, emulator := "arm64", "qemu-aarch64-static"
	if runtime.GOARCH == arch {
		arch, emulator = "amd64", "qemu-x86_64-static"
	}
	runIn(t, "../..", []string{"CGO_ENABLED=0", "GOOS=linux", "GOARCH=" + arch},
		"go", "test", "-vet=off", "-count=1", "-exec="+emulator+" -cpu max", "./classify/internal/structural")
}
