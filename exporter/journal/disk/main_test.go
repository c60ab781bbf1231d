package disk

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/exporter/diagnosis"
	"github.com/ksyun-tap/ksyun-tap/exporter/record"
)

// roleVariable makes the test binary run one of roles instead of the tests.
const roleVariable = "DISK_TEST_ROLE"

var roles = map[string]func(path string) error{"write": writeForever}

func TestMain(m *testing.M) {
	if role := os.Getenv(roleVariable); role != "" {
		if err := roles[role](os.Args[1]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

var ids = record.NewIDs()

// failure returns a new record of about size bytes.
func failure(size int) *record.Record {
	now := time.Now().UTC()
	r := &record.Record{
		Time: now, Start: now.Add(-time.Second), ID: ids.Next(now).String(), RequestID: "3f0c", Action: "GetMetricStatistics",
		Outcome: classify.OutcomeError, Status: 409, Code: "LimitExceeded", DurationSeconds: 0.25,
		Message:   strings.Repeat("m", size),
		Diagnoses: []diagnosis.Diagnosis{{Cause: "c", Summary: diagnosis.Text{English: "s", Chinese: "原因"}}},
		Scope:     diagnosis.Scope{Since: now, Extent: diagnosis.Text{English: "all regions"}, After: &diagnosis.Happening{Event: diagnosis.TriggerStart, At: now}},
	}
	return r
}

func config(t testing.TB) Config {
	t.Helper()
	return Config{Path: filepath.Join(t.TempDir(), "journal.db"), MaxEntries: 1000, Log: zap.NewNop()}
}

// open opens a store that is shut down at the end of the test.
func open(t testing.TB, cfg Config) (*Store, []*record.Record) {
	t.Helper()
	s, records, err := Open(cfg)
	require.NoError(t, err)
	t.Cleanup(func() { _ = s.Shutdown(t.Context()) })
	return s, records
}

// shutdown closes s, which has to succeed.
func shutdown(t testing.TB, s *Store) {
	t.Helper()
	require.NoError(t, s.Shutdown(t.Context()))
}

// fill writes n failures to the file of cfg.
func fill(t testing.TB, cfg Config, n, size int) (all []*record.Record) {
	t.Helper()
	s, _ := open(t, cfg)
	for range n {
		all = append(all, failure(size))
		s.Add(all[len(all)-1])
	}
	shutdown(t, s)
	return all
}

func idsOf(records []*record.Record) []string {
	all := make([]string, len(records))
	for i, r := range records {
		all[i] = r.ID
	}
	return all
}
