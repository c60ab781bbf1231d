// Package ca is the certificate authority behind CONNECT interception: it makes
// the certificates by which the tap speaks for the tapped hosts, and for no
// others.
//
//	Config.Permitted ──> authority ──> Certificate(host) ──> LRU of leaves, TLSConfig(host)
//	                     │  ▲
//	                     │  └── Refresh, Maintain, Rotate, Replace
//	                     ▼
//	   key.pem (0600)        the authorities with the lower ones' keys; never leaves the directory (0700)
//	   ca.pem, bundle.pem    what programs are to trust: our roots alone; the system's and ours
//
// An authority is a root that programs trust, and a certificate under it that
// signs, both ECDSA P-256. The root's key is forgotten once it has signed, so
// that the one key there is, is that of the lower certificate. By critical name
// constraints in both they are good for the permitted DNS names and for no IP
// address: whoever steals the key, or trusts the root by mistake, is out by no
// more than that. Go and OpenSSL hold a trusted root to its constraints, Java
// only what is below it. What X.509 cannot say (that a name is meant without those below
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
