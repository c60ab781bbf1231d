//go:build !linux

package web

func lowerPriority() {}
