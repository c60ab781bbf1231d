// Package strict compares what requests the relay refuses with what nginx and
// HAProxy refuse. Its test is built with the tag e2e and needs both.
package strict
