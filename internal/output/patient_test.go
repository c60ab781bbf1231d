package output_test

import (
	"bytes"
	"io"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ksyun-tap/ksyun-tap/internal/output"
)

// stuckWriter takes nothing until it is released.
type stuckWriter struct{ release chan struct{} }

func (w stuckWriter) Write([]byte) (int, error) {
	<-w.release
	return 0, io.ErrClosedPipe
}

func TestPatientOutput(t *testing.T) {
	var b bytes.Buffer
	if n, err := (&output.Patient{Out: &b}).Write([]byte("hello")); n != 5 || err != nil || b.String() != "hello" {
		t.Errorf("%d, %v, %q", n, err, b.String())
	}
	w := stuckWriter{make(chan struct{})}
	defer close(w.release)
	p := &output.Patient{Out: w}
	for range 3 {
		_, err := p.Write([]byte("hello"))
		assert.ErrorIs(t, err, output.ErrStuck)
	}
}

// TestTerminal checks that a terminal is recognised behind a Patient, too.
func TestTerminal(t *testing.T) {
	terminal, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	require.NoError(t, err)
	defer terminal.Close()
	if !output.IsTerminal(terminal) || !output.IsTerminal(&output.Patient{Out: terminal}) {
		t.Error("a terminal is not recognised")
	}
	assert.False(t, output.IsTerminal(&bytes.Buffer{}), "a buffer is a terminal")
	assert.Zero(t, output.Width(&output.Patient{Out: &bytes.Buffer{}}), "a buffer is a terminal")
}
