package syntax

import "bytes"

// APIDomain is the domain of the API's hosts.
const APIDomain = "api.ksyun.com"

// ReadHost returns the service and the region that a host of the vendor names, in
// lower case: {service}[.{region}][.internal|.inner].api.ksyun.com, or the
// region alone. Any other host names none.
func ReadHost(host []byte) (service, region []byte) {
	rest, ok := bytes.CutSuffix(host, []byte("."+APIDomain))
	if !ok {
		return nil, nil
	}
	if string(rest) == "internal" || string(rest) == "inner" {
		return nil, nil
	}
	rest = bytes.TrimSuffix(rest, []byte(".internal"))
	rest = bytes.TrimSuffix(rest, []byte(".inner"))
	service, region, _ = bytes.Cut(rest, []byte{'.'})
	if IsRegion(service) {
		return nil, service
	}
	return service, region
}

// IsRegion reports whether name has the form of a region: cn-beijing-6,
// ap-singapore-1, cn-north-vip1. There is no list of all of them.
func IsRegion(name []byte) bool {
	return len(name) > len("cn-x") && isLetter(name[0]) && isLetter(name[1]) && name[2] == '-' && isLetter(name[3])
}

// isLetter reports whether c is a letter in lower case.
func isLetter(c byte) bool { return 'a' <= c && c <= 'z' }
