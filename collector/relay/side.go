package relay

import (
	"errors"
	"io"
	"time"
)

// The side goroutine minds the client's side of an exchange while the main one
// waits for the upstream: it sends what is left of the request's body, and then
// watches whether the client goes away.
//
// A client that breaks off (RST) breaks the exchange off. One that closes its
// sending side (FIN) may still be reading, and nobody can tell that from one
// that closed altogether; so its FIN is passed on, as it would arrive without
// a relay, and the answer is too. A client that sends its next request early
// is not watched any further.

// startSide starts the side goroutine, with or without a body to send.
func (c *conn) startSide(upload bool) {
	c.mu.Lock()
	c.uploading, c.quit, c.halt = upload, false, false
	c.mu.Unlock()
	c.sideOn = true
	go c.runSide(upload)
}

func (c *conn) runSide(upload bool) {
	defer func() {
		if p := recover(); p != nil {
			c.s.counters.panics.Add(1)
			c.breakOff()
		}
		c.side <- struct{}{}
	}()
	if upload && !c.upload() {
		return
	}
	if c.mayWatch() {
		c.note(c.cl.watch())
	}
}

// mayWatch lifts the client's deadline. Whoever wants to end the watch has set
// quit before, or sets a new deadline after.
func (c *conn) mayWatch() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.uploading = false
	if c.quit {
		return false
	}
	c.cl.readWithin(time.Time{}, 0)
	return true
}

// note acts on what was seen of the client.
func (c *conn) note(seen sight) {
	switch seen {
	case sightReset:
		c.breakOff()
	case sightEnd:
		c.passEnd()
	case sightData:
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.silence && c.up != nil {
			c.up.link.close()
		}
	}
}

// breakOff ends the exchange because the client did.
func (c *conn) breakOff() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.gone = true
	if c.up != nil {
		c.up.link.abort()
	}
	if c.cancelDial != nil {
		c.cancelDial()
	}
}

// passEnd tells the upstream that the client will send no more. It gets less
// time to answer then: nobody may be there any more.
func (c *conn) passEnd() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fin = true
	if c.up != nil {
		c.up.readWithin(time.Now(), c.s.cfg.Timeouts.HalfClosed)
		c.endRequests(c.up)
	}
}

// endRequests ends the upstream's connection towards it as the client ended
// its own.
func (c *conn) endRequests(up *upstream) {
	up.mute = c.cl.isCut()
	up.closeWrite()
}

// notSent takes down how writing to the upstream failed.
func (c *conn) notSent(err error) {
	if isReset(err) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.upReset = true
	}
}

// isUploading reports whether the request's body is still being sent.
func (c *conn) isUploading() bool {
	if !c.sideOn {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.uploading
}

// joinSide ends the watch and waits for the side goroutine.
func (c *conn) joinSide() {
	if !c.sideOn {
		return
	}
	c.mu.Lock()
	c.quit = true
	watching := !c.uploading
	c.mu.Unlock()
	if watching {
		c.cl.interrupt()
	}
	c.awaitSide()
}

// abortSide ends whatever the side goroutine does and waits for it.
func (c *conn) abortSide() {
	if !c.sideOn {
		return
	}
	c.mu.Lock()
	c.quit, c.halt = true, true
	if c.up != nil {
		c.up.nc.SetWriteDeadline(past) //nolint:errcheck // a closed connection ends its writes anyway
	}
	c.mu.Unlock()
	c.cl.interrupt()
	c.awaitSide()
}

func (c *conn) awaitSide() {
	<-c.side
	c.sideOn = false
	c.cl.readBy = past
}

// upload sends the rest of the request's body as it comes. It reports whether
// it came to its end.
//
// The main goroutine may look at what lies in c.in at any time, so that only
// grows; the exchange shows it once it is there.
func (c *conn) upload() bool {
	x, b := &c.x, c.in
	for !c.body.done {
		if c.body.cramped(len(b.free())) {
			if c.next == nil {
				c.next = c.s.bufs.getLarge()
			}
			b = c.next
			b.reset()
		}
		if !c.mayUpload() {
			return false
		}
		if err := c.cl.read(b); err != nil {
			c.uploadEnded(err)
			return false
		}
		p := b.unread()
		n, err := c.body.take(p)
		if err != nil {
			// The head is with the upstream already: all that is left is to
			// leave the request unfinished there.
			c.breakOff()
			return false
		}
		b.r += n
		x.requestBytes.Add(int64(n))
		if b == c.in {
			x.requestSeen.Add(int64(n))
		}
		if _, err := c.up.nc.Write(p[:n]); err != nil {
			c.notSent(err)
			c.body.done = false // not for the upstream
			return false
		}
	}
	x.requestDone.Store(true)
	return true
}

// mayUpload sets the deadlines for one more piece.
func (c *conn) mayUpload() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.halt {
		return false
	}
	now := time.Now()
	c.cl.readWithin(now, c.s.cfg.Timeouts.Stall)
	c.up.writeWithin(now, c.s.cfg.Timeouts.Stall)
	return true
}

// uploadEnded acts on the client's end of an unfinished body.
func (c *conn) uploadEnded(err error) {
	switch {
	case errors.Is(err, io.EOF):
		c.passEnd()
	case !c.isHalted():
		c.breakOff()
	}
}

func (c *conn) isHalted() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.halt
}
