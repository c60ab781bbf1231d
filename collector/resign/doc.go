// Package resign signs calls anew, for programs that can be given another
// address than the API's but no proxy: they call the tap under its own address,
// so that their signature, which covers the host, is worth nothing to the API.
//
//	request ──> parse ──> verify (local key) ──> sign (real key) ──> request
//
// The scheme stays the program's: SigV4 in a header, SigV4 in the query, or the
// vendor's simple signature among the parameters. A request without a signature
// gets SigV4 in a header. Nothing else changes but Host and the framing.
//
// The schemes are those of the vendor's documents E37884 (SigV4) and D43038
// (simple). Except for Source, the package does no I/O.
package resign
