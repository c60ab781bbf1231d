package csm

import (
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/internal/testfile"
)

// FuzzRead checks that no datagram panics, is reported without being counted, or
// reveals its access key.
func FuzzRead(f *testing.F) {
	files, err := filepath.Glob("testdata/*.json")
	if err != nil || len(files) == 0 {
		f.Fatalf("no seeds: %v", err)
	}
	for _, file := range files {
		seed := testfile.Read(f, file)
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, datagram []byte) {
		in := newIntake(t, &book{}, nil)
		o := in.read(datagram, nil)
		s := in.Stats()
		if s.Datagrams != 1 || s.Attempts+s.Calls+s.Malformed+s.Oversized+s.Unknown != 1 || s.Panics != 0 {
			t.Fatalf("stats %+v", s)
		}
		if (o != nil) != (s.Attempts == 1) {
			t.Fatalf("observation %v, stats %+v", o, s)
		}
		if o == nil {
			return
		}
		if o.End.Before(o.Start) || o.End.Sub(sent).Abs() > maxSkew {
			t.Errorf("from %v to %v", o.Start, o.End)
		}
		if o.Verdict.Outcome == "" || o.Fault.Refused() {
			t.Errorf("verdict %+v, fault %q", o.Verdict, o.Fault)
		}
		for _, name := range []string{o.Call.Service, o.Call.Action, o.Call.Version, o.Call.Region} {
			if len(name) > 64 || !utf8.ValidString(name) || strings.ContainsAny(name, " &=<>\"") {
				t.Errorf("name %q", name)
			}
		}
		r, err := parse(datagram)
		require.NoError(t, err)
		for _, text := range []string{o.Verdict.Message, o.Credential} {
			if len(r.AccessKey) >= 8 && strings.Contains(strings.ReplaceAll(text, "REDACTED", ""), r.AccessKey) {
				t.Errorf("the access key is in %q", text)
			}
		}
		if o.Verdict.Form == classify.FormJSON {
			t.Error("the body we wrote is reported as the vendor's")
		}
	})
}
