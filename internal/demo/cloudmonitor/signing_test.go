package cloudmonitor

import (
	"bufio"
	"bytes"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// TestSigningScenarios checks that the gateway refuses the wrong ones, and no
// others.
func TestSigningScenarios(t *testing.T) {
	c := Credential{AccessKey: "AKLTscenario000000000", SecretKey: "the-secret-key"}
	at := time.Date(2026, time.November, 23, 8, 0, 0, 0, time.UTC)
	s := New(Config{Credentials: []Credential{c}, Now: func() time.Time { return at }})
	names := map[string]bool{}
	for _, scenario := range SigningScenarios() {
		assert.False(t, names[scenario.Name], "%s is there twice", scenario.Name)
		names[scenario.Name] = true
		r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(scenario.Bytes(c, at))))
		if err != nil {
			t.Errorf("%s: %v", scenario.Name, err)
			continue
		}
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		assert.Equal(t, scenario.Wrong(), w.Code != http.StatusOK, "%s: status %d, %s", scenario.Name, w.Code, w.Body)
		date := w.Header().Get("Date")
		assert.Equal(t, at.Format(http.TimeFormat), date, "%s: Date %q is not the gateway's time", scenario.Name, date)
	}
}
