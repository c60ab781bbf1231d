package classify

// blameOf tells whose doing a failure of that category is. Where the category
// is unknown the vendor's own word counts.
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
