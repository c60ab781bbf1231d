package disk

import (
	"bufio"
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/ksyun-tap/ksyun-tap/exporter/record"
)

// killsVariable is the number of kills of TestKill.
const killsVariable = "JOURNAL_KILLS"

// writeForever adds failures and prints the IDs of those that were written.
func writeForever(path string) error {
	out := bufio.NewWriter(os.Stdout)
	acknowledged := make(chan struct{}, 1)
	s, _, err := Open(Config{Path: path, MaxEntries: 100_000, Log: zap.NewNop(), written: func(batch []*record.Record) {
		for _, r := range batch {
			fmt.Fprintln(out, r.ID)
		}
		_ = out.Flush()
		select {
		case acknowledged <- struct{}{}:
		default:
		}
	}})
	if err != nil {
		return err
	}
	for {
		if len(s.queue) == maxQueued {
			<-acknowledged
		}
		s.Add(failure(rand.IntN(3000)))
	}
}

// TestKill kills a process that writes, at random moments. After each kill the file has every failure that was acknowledged by any of the processes.
func TestKill(t *testing.T) {
	kills := 6 // make kill has many
	if text := os.Getenv(killsVariable); text != "" {
		var err error
		kills, err = strconv.Atoi(text)
		require.NoError(t, err)
	}
	cfg := config(t)
	cfg.MaxEntries = 100_000
	acknowledged := map[string]bool{}
	for i := range kills {
		for _, id := range writeAndKill(t, cfg.Path, i) {
			acknowledged[id] = true
		}
		f, records, err := openFile(&cfg, time.Now())
		if err != nil {
			t.Fatalf("after kill %d: %v", i+1, err)
		}
		f.close()
		found := map[string]bool{}
		for _, r := range records {
			found[r.ID] = true
		}
		for id := range acknowledged {
			if !found[id] {
				t.Fatalf("after kill %d: %s was acknowledged and is missing", i+1, id)
			}
		}
		if i%10 == 9 { // a new file, so that reading it takes no longer and longer
			t.Logf("%d kills: %d acknowledged, %d found", i+1, len(acknowledged), len(records))
			acknowledged = map[string]bool{}
			require.NoError(t, os.Remove(cfg.Path))
		}
	}
}

// writeAndKill runs writeForever until it has acknowledged some failures, and returns
// the IDs of all that it has.
func writeAndKill(t *testing.T, path string, kill int) (ids []string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], path)
	cmd.Env = append(os.Environ(), roleVariable+"=write")
	var errOut bytes.Buffer
	cmd.Stderr = &errOut
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	lines := bufio.NewScanner(out)
	enough := rand.IntN(600)
	if kill%4 == 0 {
		enough = 0 // while the file is opened, or during the first transactions
	}
	for len(ids) < enough && lines.Scan() {
		ids = append(ids, lines.Text())
	}
	<-time.After(rand.N(20 * time.Millisecond)) // so that the kill hits any step of a transaction
	_ = cmd.Process.Kill()
	for lines.Scan() {
		ids = append(ids, lines.Text())
	}
	_ = cmd.Wait()
	require.Zero(t, errOut.Len(), "the writer failed: %s", errOut.String())
	// The last line may have been cut off.
	if n := len(ids); n > 0 && len(ids[n-1]) < record.IDLength {
		ids = ids[:n-1]
	}
	return ids
}
