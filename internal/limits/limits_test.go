package limits

import (
	"errors"
	"math"
	"runtime/debug"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestConnections(t *testing.T) {
	const unlimited = math.MaxInt64
	for _, tt := range []struct {
		wanted      int
		secure      bool
		descriptors uint64
		memory      int64
		want        int
	}{
		{0, false, 0, unlimited, 0},
		{0, false, 10, unlimited, 1},
		{0, false, 64, unlimited, 16},
		{0, false, 256, unlimited, 96},
		{0, false, 1024, unlimited, 384},
		{0, false, 20000, unlimited, 9872},
		{0, false, 1 << 40, unlimited, 0},
		{0, false, 20000, 128 << 20, 682},
		{0, true, 20000, 128 << 20, 227},
		{0, false, 0, 128 << 20, 682},
		{0, false, 1024, 128 << 20, 384},
		{0, false, 1024, 1 << 10, 1},
		{100, false, 1024, unlimited, 100},
		{100, false, 64, unlimited, 16},
		{5000, true, 20000, 128 << 20, 5000}, // it knows that most are idle
		{7, false, 0, unlimited, 7},
	} {
		got := connections(tt.wanted, tt.secure, tt.descriptors, tt.memory)
		assert.Equal(t, tt.want, got, "%+v", tt)
	}
}

func TestHeapAndQueuesFit(t *testing.T) {
	const cgroup, most = 1000, 1 << 60
	for _, tt := range []struct{ gomemlimit, memory, heap int64 }{
		{most, 900, 675},
		{900, 900, 675},
		{1000, 900, 675},
		{800, 800, 675},
		{600, 600, 600}, // it leaves more than enough
	} {
		memory, heap := shares(cgroup, tt.gomemlimit)
		assert.Equal(t, tt.memory, memory, "%d", tt.gomemlimit)
		assert.Equal(t, tt.heap, heap, "%d", tt.gomemlimit)
		assert.LessOrEqual(t, heap+memory/queueShare, int64(0.9*cgroup))
	}
}

// TestShares: the queues of connections take Queues, and the shortest ones of as many
// connections as there may be, together no more than a third of the memory.
func TestShares(t *testing.T) { //nolint:paralleltest // the limit is the process's
	before := debug.SetMemoryLimit(128 << 20)
	defer debug.SetMemoryLimit(before)
	assert.EqualValues(t, 32<<20, Buffers())
	assert.LessOrEqual(t, Queues()+int64(Connections(0, false))*32<<10, int64(128<<20)/3)
	debug.SetMemoryLimit(math.MaxInt64)
	assert.Zero(t, Buffers())
	assert.Zero(t, Queues())
}

func TestTurnedAway(t *testing.T) {
	for descriptors, want := range map[uint64]int{0: 32, 64: 8, 128: 8, 256: 16, 512: 32, 20000: 32, 1 << 40: 32} {
		assert.Equal(t, want, turnedAway(descriptors), "%d descriptors", descriptors)
	}
}

func TestWebConnections(t *testing.T) {
	for descriptors, want := range map[uint64]int{0: 64, 64: 8, 256: 16, 1024: 64, 20000: 64, 1 << 40: 64} {
		assert.Equal(t, want, webConnections(descriptors), "%d descriptors", descriptors)
	}
}

// TestLoops has as many processors as machines may have.
func TestLoops(t *testing.T) {
	for descriptors, want := range map[uint64][2]int{0: {2, 128}, 16: {2, 2}, 64: {2, 2}, 256: {2, 5}, 1024: {2, 21}, 20000: {2, 21}, 1 << 19: {2, 128}, 1 << 40: {2, 128}} {
		assert.Equal(t, want, [2]int{loops(2, descriptors), loops(128, descriptors)}, "%d descriptors", descriptors)
	}
}

func TestCgroupMemory(t *testing.T) {
	const proc, v2, v1 = "/proc/self/cgroup", "/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"
	for name, tt := range map[string]struct {
		files map[string]string
		want  int64
	}{
		"version 2":           {map[string]string{v2: "134217728\n"}, 128 << 20},
		"version 2, no limit": {map[string]string{v2: "max\n"}, 0},
		"version 1":           {map[string]string{v1: "134217728\n"}, 128 << 20},
		"version 1, no limit": {map[string]string{v1: "9223372036854771712\n"}, 0},
		"none":                {nil, 0},
		"unreadable":          {map[string]string{v2: "?"}, 0},
		"of a service": {map[string]string{
			proc: "0::/system.slice/ksyun-tap.service\n", "/sys/fs/cgroup/system.slice/ksyun-tap.service/memory.max": "134217728\n",
		}, 128 << 20},
		"of a slice above": {map[string]string{
			proc: "0::/system.slice/ksyun-tap.service\n", "/sys/fs/cgroup/system.slice/ksyun-tap.service/memory.max": "134217728\n",
			"/sys/fs/cgroup/system.slice/memory.max": "67108864\n",
		}, 64 << 20},
		"of a service, version 1": {map[string]string{
			proc: "9:name=systemd:/\n4:memory:/system.slice/ksyun-tap.service\n0::/\n", v1: "9223372036854771712\n",
			"/sys/fs/cgroup/memory/system.slice/ksyun-tap.service/memory.limit_in_bytes": "134217728\n",
		}, 128 << 20},
		"above the container's root": {map[string]string{proc: "0::/../../x\n", v2: "134217728\n"}, 128 << 20},
		"of another controller":      {map[string]string{proc: "4:cpu:/x\n", "/sys/fs/cgroup/x/memory.max": "134217728\n"}, 0},
	} {
		read := func(name string) ([]byte, error) {
			if s, ok := tt.files[name]; ok {
				return []byte(s), nil
			}
			return nil, errors.New("no such file")
		}
		assert.Equal(t, tt.want, cgroupMemory(read), name)
	}
}
