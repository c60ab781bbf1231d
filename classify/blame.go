package classify

// blameOf returns who is to blame for a failure of the category. If the category
// is unknown, it is derived from the vendor's error type.
func blameOf(c Category, t Type) Blame {
	switch c {
	case CategoryAuth, CategoryClock, CategoryPermission:
		return BlameCredential
	case CategoryThrottled:
		return BlameQuota
	case CategoryRequest, CategoryNotFound, CategoryTooLarge:
		return BlameClient
	case CategoryServer, CategoryTimeout:
		return BlameProvider
	case CategoryNetwork:
		return BlameNetwork
	case CategoryUnknown:
	}
	if t == TypeSender {
		return BlameClient
	}
	return BlameProvider
}
