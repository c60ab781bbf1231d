// Package soak holds the load test of collector and exporter together: whatever
// happens to connections, all outputs count the same calls.
package soak
