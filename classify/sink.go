package classify

// Sink receives the attempts. Its methods are called on the goroutine that relays
// the call. They must not block, must not panic, and must not retain their
// arguments (see Observation).
type Sink interface {
	// Begin is called when the beginning of an attempt was sent upstream, or shortly
	// before. It is followed by exactly one Observe with the same service.
	Begin(call *Call)
	// Observe is called when an attempt has ended, after its last byte was
	// written to the program. There is no Begin before it if the tap refused the
	// attempt (Fault.Refused).
	Observe(o *Observation)
}
