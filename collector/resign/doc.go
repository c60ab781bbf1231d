// Package resign signs calls again, with other credentials. It serves programs
// that can be configured with another endpoint but not with a proxy: they call
// the tap's re-signing address, and since a signature covers the host, the API
// would reject theirs.
//
//	request ──> read ──> verify (local key) ──> sign (real key) ──> request
//
// The signature scheme stays that of the program: SigV4 in a header, SigV4 in
// the query, or the vendor's simple signature among the parameters. A request
// without a signature gets SigV4 in a header. Otherwise only the Host field and
// the framing change.
//
// Except for Source, the package does no I/O.
package resign
