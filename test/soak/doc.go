// Package soak contains the load test of collector and exporter together. It checks
// that all outputs count the same calls, whatever happens to connections.
package soak
