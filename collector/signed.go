package collector

import (
	"bytes"

	"github.com/ksyun-tap/ksyun-tap/classify/syntax"
)

// signedFields returns the names of the header fields that a SigV4 signature
// covers, separated by semicolons, or nil if there is no signature. It looks in
// the Authorization field and in the query, for presigned requests.
func signedFields(authorization, target []byte) []byte {
	for rest := authorization; len(rest) > 0; {
		var name, list []byte
		name, list, rest = syntax.CutParameter(rest)
		if bytes.HasSuffix(name, []byte("SignedHeaders")) { // the scheme may precede it
			if end := bytes.IndexAny(list, " \t"); end >= 0 {
				list = list[:end]
			}
			return list
		}
	}
	_, query, _ := bytes.Cut(target, []byte{'?'})
	for param := range bytes.SplitSeq(query, []byte{'&'}) {
		key, list, _ := bytes.Cut(param, []byte{'='})
		if bytes.EqualFold(key, []byte("X-Amz-SignedHeaders")) {
			list = bytes.ReplaceAll(list, []byte("%3B"), []byte{';'})
			return bytes.ReplaceAll(list, []byte("%3b"), []byte{';'})
		}
	}
	return nil
}
