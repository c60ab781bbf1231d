package web_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

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
		if n := begun.Load(); n != 1 {
			t.Errorf("%d look-ups at a time", n)
		}
		if w := request(t.Context(), h, "/api/v1/failures"); w.Code != http.StatusOK {
			t.Errorf("a search during a look-up: status %d", w.Code)
		}
		giveUp()
		synctest.Wait()
		proceed <- struct{}{}
		proceed <- struct{}{}
		requests.Wait()
		if n := begun.Load(); n != 2 {
			t.Errorf("%d look-ups were served, want 2 of 3", n)
		}
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
		if w := request(t.Context(), web.NewHandler(opts), path+unknownID); w.Code != http.StatusOK {
			t.Errorf("%s: status %d", path, w.Code)
		}
	}
}

// TestPanicOfHandler checks that a panic reaches the server of the request, which logs it,
// and that the next request is served.
func TestPanicOfHandler(t *testing.T) {
	opts := filled()
	opts.Settle = func(context.Context) bool { panic("of the handler") }
	h := web.NewHandler(opts)
	for range 2 {
		func() {
			defer func() {
				if v := recover(); v != "of the handler" {
					t.Errorf("recovered %v", v)
				}
			}()
			request(t.Context(), h, "/api/v1/failures/"+unknownID)
		}()
	}
}
