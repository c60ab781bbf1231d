package web_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"

	"github.com/ksyun-tap/ksyun-tap/exporter/record"
	"github.com/ksyun-tap/ksyun-tap/exporter/web"
)

const unknownID = "00000000-9999-4222-8333-444444444499"

// request serves a request, which may be given up by ctx.
func request(ctx context.Context, h http.Handler, path string) *httptest.ResponseRecorder {
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, path, http.NoBody)
	r.Host = "localhost"
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// TestOneLookUpAtATime checks that look-ups wait for each other, that searches do not
// wait for them, and that a request that is given up does not wait any longer.
func TestOneLookUpAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opts := filled()
		proceed := make(chan struct{})
		var begun atomic.Int32
		opts.Settle = func(context.Context) bool {
			begun.Add(1)
			<-proceed
			return true
		}
		h := web.NewHandler(opts)
		givenUp, giveUp := context.WithCancel(t.Context())
		var requests sync.WaitGroup
		for _, ctx := range []context.Context{t.Context(), givenUp, t.Context()} {
			requests.Go(func() {
				if w := request(ctx, h, "/api/v1/failures/"+unknownID); ctx != givenUp && w.Code != http.StatusNotFound {
					t.Errorf("status %d", w.Code)
				}
			})
			synctest.Wait()
		}
		assert.EqualValues(t, 1, begun.Load(), "look-ups at a time")
		w := request(t.Context(), h, "/api/v1/failures")
		assert.Equal(t, http.StatusOK, w.Code, "a search during a look-up: status")
		giveUp()
		synctest.Wait()
		proceed <- struct{}{}
		proceed <- struct{}{}
		requests.Wait()
		assert.EqualValues(t, 2, begun.Load(), "look-ups were served")
	})
}

// TestLookUpSettles checks that a look-up finds a failure that is still in the queue when
// it begins.
func TestLookUpSettles(t *testing.T) {
	for _, path := range []string{"/api/v1/failures/", "/failures/"} {
		opts := filled()
		opts.Settle = func(context.Context) bool {
			opts.Journal.Add(&record.Record{ID: "1m4q7t9kzzzx7f2", RequestID: unknownID})
			return true
		}
		w := request(t.Context(), web.NewHandler(opts), path+unknownID)
		assert.Equal(t, http.StatusOK, w.Code, "%s: status", path)
	}
}

// TestPanicOfHandler checks that a panic reaches the server of the request, which logs it,
// and that the next request is served.
func TestPanicOfHandler(t *testing.T) {
	opts := filled()
	opts.Settle = func(context.Context) bool { panic("of the handler") }
	opts.Ready = func() error { panic("of the handler") } // called for pages
	h := web.NewHandler(opts)
	for _, path := range []string{"/api/v1/failures/" + unknownID, "/api/v1/failures/" + unknownID, "/", "/"} {
		func() {
			defer func() {
				if v := recover(); v != "of the handler" {
					t.Errorf("recovered %v", v)
				}
			}()
			request(t.Context(), h, path)
		}()
	}
}
