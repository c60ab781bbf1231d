// Package e2e contains tests of the real binary with real components: the
// simulated API, a real Prometheus, an OTLP receiver. They are built with the
// tag e2e and need prometheus and promtool (see make e2e).
package e2e
