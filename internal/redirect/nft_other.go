//go:build !linux

package redirect

import (
	"context"
	"errors"
)

func (nft) works(context.Context) error { return explain(errors.ErrUnsupported) }

// Install implements Backend.
func (nft) Install(context.Context, *Rules) error { return explain(errors.ErrUnsupported) }

// Remove implements Backend.
func (nft) Remove(context.Context) error { return explain(errors.ErrUnsupported) }
