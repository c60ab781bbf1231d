// Package systemd is what the tap and a service manager tell each other:
//
//	manager ── listening sockets, by name ──> Sockets
//	manager <── READY, RELOADING, STOPPING ── Manager
//	manager <── WATCHDOG, while Check agrees ─ Manager ──> Listener
//
// Without a service manager, and on other systems than Linux, all of it does
// nothing.
package systemd
