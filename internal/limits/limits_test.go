package limits

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestConnections(t *testing.T) {
	for descriptors, want := range map[uint64]int{0: 0, 10: 1, 64: 16, 256: 96, 1024: 384, 20000: 9872, 1 << 40: 0} {
		got := connections(descriptors)
		assert.Equal(t, want, got, "%d descriptors: %d connections, want %d", descriptors, got, want)
	}
}

func TestCgroupMemory(t *testing.T) {
	const v2, v1 = "/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"
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
