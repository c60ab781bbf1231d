package memory

import (
	"bufio"
	"io"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// unmapProgram unmaps the pages of the program file as far as possible.
func unmapProgram() {
	exe, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return
	}
	f, err := os.Open("/proc/self/smaps")
	if err != nil {
		return
	}
	defer f.Close()
	for _, m := range unmodified(f, exe) {
		// It fails for locked memory, which is to stay.
		unix.Syscall(unix.SYS_MADVISE, m.start, m.end-m.start, unix.MADV_DONTNEED) //nolint:errcheck // see above
	}
}

// mapping is a range of addresses.
type mapping struct{ start, end uintptr }

// unmodified returns the mappings of a file that are read-only and of which no page
// differs from the file: what the dynamic linker or a debugger wrote would be lost.
// smaps is in the format of /proc/PID/smaps.
func unmodified(smaps io.Reader, file string) []mapping {
	var found []mapping
	var at mapping
	same := false
	for lines := bufio.NewScanner(smaps); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) < 2 {
			continue
		}
		switch key, value := fields[0], fields[1]; key {
		case "Anonymous:", "Swap:":
			same = same && value == "0"
		case "VmFlags:": // the last line of a mapping
			if same {
				found = append(found, at)
			}
		default:
			if start, end, ok := strings.Cut(key, "-"); ok {
				low, errLow := strconv.ParseUint(start, 16, 64)
				high, errHigh := strconv.ParseUint(end, 16, 64)
				at = mapping{uintptr(low), uintptr(high)}
				same = (value == "r-xp" || value == "r--p") && errLow == nil && errHigh == nil && strings.HasSuffix(lines.Text(), " "+file)
			}
		}
	}
	return found
}
