//go:build e2e

package e2e

import (
	"fmt"
	"image/png"
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ksyun-tap/ksyun-tap/test/picture"
)

// picturesVariable names a directory that the pictures of the dashboards are
// left in.
const picturesVariable = "DASHBOARD_PICTURES"

// screenshot has Chromium draw a page into a file, and looks whether something
// is on it.
func screenshot(t *testing.T, page, file string, height int) {
	t.Helper()
	out, err := exec.Command("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars",
		"--user-data-dir="+t.TempDir(), fmt.Sprintf("--window-size=%d,%d", picture.Width, height), "--screenshot="+file, "file://"+page).CombinedOutput()
	if err != nil {
		t.Fatalf("chromium: %v\n%s", err, tail(string(out), 2000))
	}
	f, err := os.Open(file)
	require.NoError(t, err)
	defer f.Close()
	image, err := png.Decode(f)
	require.NoError(t, err)
	colors := map[[3]uint32]bool{}
	for x := 0; x < image.Bounds().Dx(); x += 3 {
		for y := 0; y < image.Bounds().Dy(); y += 3 {
			r, g, b, _ := image.At(x, y).RGBA()
			colors[[3]uint32{r, g, b}] = true
		}
	}
	if image.Bounds().Dx() != picture.Width || len(colors) < 10 {
		t.Errorf("%s: %v, %d colours", file, image.Bounds(), len(colors))
	}
}
