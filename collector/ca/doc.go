// Package ca is the certificate authority for intercepting TLS. It creates the
// certificates with which the tap serves programs in place of the tapped hosts.
//
//	Config.Permitted ──> authority ──> Certificate(host) ──> LRU of leaves, TLSConfig(host)
//	                     │  ▲
//	                     │  └── Refresh, Maintain
//	                     ▼
//	   key.pem (0600)        the authorities, with the intermediates' keys; never leaves its directory (0700)
//	   ca.pem, bundle.pem    for programs to trust: our roots alone; the system's roots and ours
//
// An authority is a root certificate, which programs trust, and an intermediate
// certificate, which signs the leaves. Both use ECDSA P-256. The root's key is
// discarded after it signed the intermediate, so that the intermediate's key is
// the only one there is. Critical name constraints restrict both to the
// permitted DNS names and exclude all IP addresses. Whoever steals the key
// cannot impersonate any other host. Go and OpenSSL apply the constraints of a
// trusted root; Java applies only those of the intermediate. A constraint on a
// name always includes the names below it, so Certificate checks the exact names
// as well.
//
// Most programs read their trusted certificates once, when they start. So the
// next authority is created and published while the current one is still valid
// for more than Config.Overlap, and it signs nothing until it has been published
// for Config.Overlap:
//
//	created         overlap        leaf   end
//	 │ first         │              │      │
//	 ├───────────────┼──────────────┼──────┤
//	                 ├──────────────┼──────────────────────┤
//	                 │ second       │
//	                 created and    signs
//	                 published
//
// So a program can be served for at least the overlap after it has read the
// bundle, whenever that was.
package ca
