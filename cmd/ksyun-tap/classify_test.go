package main

import (
	"encoding/json"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ksyun-tap/ksyun-tap/internal/testfile"
)

// TestClassifyResponses reads the responses in classify/testdata/responses. Beside
// each NAME.http is a NAME.want.json with the fields that must come out.
func TestClassifyResponses(t *testing.T) {
	files, err := filepath.Glob("../../classify/testdata/responses/*.http")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d responses, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".http"), func(t *testing.T) {
			raw := testfile.Read(t, strings.TrimSuffix(file, ".http")+".want.json")
			var want, got map[string]any
			require.NoError(t, json.Unmarshal(raw, &want))
			code, out, errOut := command(t, "", "classify", file)
			if code != exitOK {
				t.Fatalf("exit %d: %s", code, errOut)
			}
			require.NoError(t, json.Unmarshal([]byte(out), &got))
			for key, w := range want {
				if got[key] != w {
					t.Errorf("%s is %v, want %v", key, got[key], w)
				}
			}
			if t.Failed() {
				t.Log(out)
			}
		})
	}
}

// TestClassifyOtherData classifies input that is not a response of the API.
func TestClassifyOtherData(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	random := make([]byte, 4096)
	for i := range random {
		random[i] = byte(r.Uint32())
	}
	for name, in := range map[string]string{
		"empty": "", "blanks": " \n", "text": "hello\n", "binary": "\x7fELF\x02\x01\x01\x00\x00", "random": string(random),
		"braces": "{hello", "brackets": "<<<>>>", "binary behind a brace": "{\x00\x01\xff", "binary behind a bracket": "<\xff\x00",
		"a broken head": "HTTP/1.1 banana\r\n\r\n", "a number": "42", "gzip of nothing legible": "\x1f\x8b\x08\x00",
	} {
		code, out, errOut := command(t, in, "classify")
		if code != exitNotResponse || out != "" || !strings.Contains(errOut, "not a response of the API") || strings.Count(errOut, "\n") != 1 {
			t.Errorf("%s: exit %d, %q, %q", name, code, out, errOut)
		}
	}
	for name, in := range map[string]string{"cut JSON": `{"requestId":"a","data":[1,`, "cut XML": "<ListMetricsResponse><Me", "JSON": `{"a":1}`} {
		if code, out, errOut := command(t, in, "classify"); code != exitOK {
			t.Errorf("%s: exit %d, %q, %q", name, code, out, errOut)
		}
	}
	// With a status it is one.
	code, out, errOut := command(t, "", "classify", "--status=504")
	if code != exitOK || !strings.Contains(out, `"category":"timeout"`) {
		t.Errorf("exit %d, %q, %q", code, out, errOut)
	}
	code, out, _ = command(t, "HTTP/1.1 204 No Content\r\n\r\n", "classify")
	if code != exitOK || !strings.Contains(out, `"outcome":"success"`) {
		t.Errorf("exit %d, %q", code, out)
	}
}

// TestClassifyOtherDataAmongResponses checks that the other files are read.
func TestClassifyOtherDataAmongResponses(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"a": `{"requestId":"a"}`, "b": "", "c": `{"requestId":"c"}`} {
		testfile.Write(t, filepath.Join(dir, name), text, 0o600)
	}
	code, out, errOut := command(t, "", "classify", filepath.Join(dir, "a"), filepath.Join(dir, "b"), filepath.Join(dir, "c"))
	if code != exitNotResponse || strings.Count(out, "\n") != 2 || !strings.Contains(errOut, filepath.Join(dir, "b")) {
		t.Errorf("exit %d, %q, %q", code, out, errOut)
	}
}

func TestClassifyText(t *testing.T) {
	code, out, _ := command(t, `{"Error":{"Code":"LimitExceeded"},"RequestId":"the-id"}`, "classify", "--status=409", "--output=text")
	if code != exitOK {
		t.Fatalf("exit %d", code)
	}
	for _, want := range []string{"Outcome      error", "Means        Calls come faster", "Do           Slow down", "Request ID   the-id", "Retry        window"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in\n%s", want, out)
		}
	}
}
