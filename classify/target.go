package classify

import (
	"github.com/ksyun-tap/ksyun-tap/classify/syntax"
	"github.com/ksyun-tap/ksyun-tap/hostname"
)

// APIHosts returns the pattern that matches all hosts of the API.
func APIHosts() hostname.Patterns { return hostname.Patterns{hostname.Below(syntax.APIDomain)} }
