package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const mit = `Copyright (c) 2020 Somebody

Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated
documentation files (the "Software"), to deal in the Software without restriction, including without limitation the
rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to permit
persons to whom the Software is furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial portions of the
Software.
%s
THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE
WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR
COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR
OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
`

func TestLicences(t *testing.T) {
	plain := strings.Replace(mit, "%s", "", 1)
	for name, tc := range map[string]struct {
		files map[string]string
		want  []string // found
		err   string
	}{
		"allowed":              {files: map[string]string{"LICENSE": plain}, want: []string{"LICENSE (MIT)"}},
		"spelled another way":  {files: map[string]string{"Licence.md": plain}, want: []string{"Licence.md (MIT)"}},
		"a notice goes along":  {files: map[string]string{"LICENSE": plain, "NOTICE.txt": "Made by us."}, want: []string{"LICENSE (MIT)", "NOTICE.txt (notice)"}},
		"on the way to a part": {files: map[string]string{"LICENSE": plain, "a/COPYING": plain}, want: []string{"LICENSE (MIT)", "a/COPYING (MIT)"}},
		"of a part unused":     {files: map[string]string{"LICENSE": plain, "c/LICENSE": "Ask us."}, want: []string{"LICENSE (MIT)"}},
		"known, not allowed":   {files: map[string]string{"LICENSE": strings.Replace(mit, "%s", "\nThe Software shall be used for Good, not Evil.\n", 1)}, err: "m v1: LICENSE is JSON, which is not one of Apache-2.0, "},
		"of a part":            {files: map[string]string{"LICENSE": plain, "a/b/LICENSE": "Ask us."}, err: "m v1: a/b/LICENSE is not a known licence (0 %"},
		"buried":               {files: map[string]string{"LICENSE": plain + strings.Repeat("But pay for it as we say. ", 100)}, err: "m v1: LICENSE is not a known licence ("},
		"none":                 {err: "m v1 has no licence at its root"},
		"a notice alone":       {files: map[string]string{"NOTICE": "Made by us."}, err: "m v1 has no licence at its root"},
		"of a part alone":      {files: map[string]string{"a/LICENSE": plain}, err: "m v1 has no licence at its root"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for _, d := range []string{"a/b", "c"} {
				require.NoError(t, os.MkdirAll(filepath.Join(dir, d), 0o755))
			}
			for name, text := range tc.files {
				require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644))
			}
			m := &module{Path: "m", Version: "v1", Dir: dir, packages: map[string]bool{filepath.Join(dir, "a/b"): true}}
			files, err := m.licences()
			if tc.err != "" {
				assert.ErrorContains(t, err, tc.err, "got")
				return
			}
			var got []string
			for _, f := range files {
				got = append(got, f.name+" ("+f.licence+")")
			}
			if err != nil || strings.Join(got, "\n") != strings.Join(tc.want, "\n") {
				t.Errorf("got %q, %v, want %q", got, err, tc.want)
			}
		})
	}
}

// TestWhatIsLinked is the check of the modules in use.
func TestWhatIsLinked(t *testing.T) {
	t.Chdir("../..")
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), &out))
	for _, want := range []string{"==== Go go1.", "==== go.uber.org/zap v", "==== github.com/prometheus/client_golang v", ": NOTICE (notice)"} {
		assert.Contains(t, out.String(), want, "it does not hold")
	}
	assert.NotContains(t, out.String(), "goleak", "what only tests use is in it")
}
