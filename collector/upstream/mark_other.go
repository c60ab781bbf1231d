//go:build !linux

package upstream

import "errors"

func setMark(uintptr, uint32) error { return errors.ErrUnsupported }
