// Package collector gets calls: it relays them unchanged between the program
// and the API, and tells a Sink what it saw.
package collector

import "github.com/ksyun-tap/ksyun-tap/classify"

// Sink is told of attempts. Its methods are called on the goroutine that
// relays the call: they must not block, must not panic, and must not keep what
// they are given (see classify.Observation).
type Sink interface {
	// Begin tells that an attempt is about to be sent upstream. Exactly one
	// Observe with the same service follows.
	Begin(call *classify.Call)
	// Observe tells how an attempt ended, after the program's last byte was
	// written. An attempt the tap refused (Fault.Refused) had no Begin.
	Observe(o *classify.Observation)
}
