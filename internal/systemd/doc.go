// Package systemd implements the protocols between the tap and a service manager:
// listening sockets, notifications and the watchdog.
//
//	manager ── listening sockets, by name ──> Sockets
//	manager <── READY, RELOADING, STOPPING ── Manager
//	manager <── WATCHDOG, if Check succeeds ── Manager ──> Listener
//
// Without a service manager, and on systems other than Linux, the package does
// nothing.
package systemd
