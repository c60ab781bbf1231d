package limits

import (
	"math"
	"path"
	"strconv"
	"strings"
)

// readFile is os.ReadFile.
type readFile func(name string) ([]byte, error)

// cgroupMemory returns the memory limit of the process's cgroup in bytes, or 0 if
// there is none. It is the lowest of those of the cgroup and all above it, which apply
// as well. In a container, the cgroup is usually at the root of the file system,
// whatever it is called outside.
func cgroupMemory(read readFile) int64 {
	limit := int64(0)
	for _, name := range memoryFiles(read) {
		b, err := read(name)
		if err != nil {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
		if err != nil || n <= 0 || n >= math.MaxInt64&^0xffff { // "max" in version 2, a huge number in version 1
			continue
		}
		if limit == 0 || n < limit {
			limit = n
		}
	}
	return limit
}

// memoryFiles returns the files that limit the process's memory.
func memoryFiles(read readFile) (names []string) {
	const (
		root2, file2 = "/sys/fs/cgroup", "memory.max"
		root1, file1 = "/sys/fs/cgroup/memory", "memory.limit_in_bytes"
	)
	names = []string{path.Join(root2, file2), path.Join(root1, file1)}
	cgroups, err := read("/proc/self/cgroup")
	if err != nil {
		return names
	}
	for line := range strings.Lines(string(cgroups)) { // "4:memory:/system.slice", or "0::/system.slice" in version 2
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(fields) < 3 {
			continue
		}
		root, file := root2, file2
		switch {
		case fields[1] == "memory":
			root, file = root1, file1
		case fields[1] != "":
			continue
		}
		for dir := path.Clean("/" + fields[2]); dir != "/"; dir = path.Dir(dir) {
			names = append(names, path.Join(root, dir, file))
		}
	}
	return names
}
