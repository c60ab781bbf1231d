// Package ca is the certificate authority behind CONNECT interception: it makes
// the certificates by which the tap speaks for the tapped hosts, and for no
// others.
//
//	Config.Permitted ──> authority ──> Certificate(host) ──> LRU of leaves, TLSConfig(host)
//	                     │  ▲
//	                     │  └── Refresh, Maintain, Rotate, Replace
//	                     ▼
//	   key.pem (0600)        the authorities with their keys; never leaves the directory (0700)
//	   ca.pem, bundle.pem    what programs are to trust: ours alone; the system's roots and ours
//
// An authority is a self-signed ECDSA P-256 certificate with its key. By
// critical name constraints it is good for the permitted DNS names and for no
// IP address, so that whoever steals the key or trusts the certificate by
// mistake is out by no more than that. Go and OpenSSL hold a trusted root to its
// constraints; Java does not: there, nothing but the key file's mode guards
// other names. What X.509 cannot say (that a name is meant without those below
// it) is held to when signing.
//
// Rotation is slow because most programs read what they trust once, when they
// start. The next authority is made and published while the current one still
// has Config.Overlap and more to live, and signs nothing before it has been
// public for Config.Overlap:
//
//	made            overlap        leaf   end
//	 │ first         │              │      │
//	 ├───────────────┼──────────────┼──────┤
//	                 ├──────────────┼──────────────────────┤
//	                 │ second       │
//	                 made and       signs
//	                 published
//
// Hence a program that read the bundle is served for at least the overlap,
// whenever it started.
package ca
