package classify

import "bytes"

// CutParameter cuts the first "name=value" off a list that is separated by commas,
// without the blanks around it, such as what follows the scheme in an Authorization
// field of SigV4. value is empty if there is no equals sign.
func CutParameter(list []byte) (name, value, rest []byte) {
	list, rest, _ = bytes.Cut(list, []byte{','})
	name, value, _ = bytes.Cut(bytes.Trim(list, " \t"), []byte{'='})
	return name, value, rest
}
