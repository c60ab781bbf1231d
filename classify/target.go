package classify

import "bytes"

// splitTarget cuts a request target into what is before the query and the
// query.
func splitTarget(target []byte) (path, query []byte) {
	if i := bytes.IndexByte(target, '#'); i >= 0 {
		target = target[:i]
	}
	path, query, _ = bytes.Cut(target, []byte{'?'})
	return path, query
}

// authority returns the authority of an absolute-form target, nil if it is in
// another form.
func authority(path []byte) []byte {
	i := bytes.Index(path, []byte("://"))
	if i <= 0 || path[0] == '/' {
		return nil
	}
	rest := path[i+len("://"):]
	if end := bytes.IndexByte(rest, '/'); end >= 0 {
		rest = rest[:end]
	}
	return rest
}

// appendHost appends the host of an authority in lower case, without user,
// port, brackets and a final dot; nothing if it is not one.
func appendHost(dst, authority []byte) []byte {
	host := bytes.TrimSpace(authority)
	host = host[bytes.LastIndexByte(host, '@')+1:]
	if len(host) > 0 && host[0] == '[' {
		end := bytes.IndexByte(host, ']')
		if end < 0 {
			return dst
		}
		host = host[1:end]
	} else if i := bytes.IndexByte(host, ':'); i >= 0 {
		host = host[:i]
	}
	host = bytes.TrimSuffix(host, []byte{'.'})
	if len(host) > maxHost {
		return dst
	}
	for _, c := range host {
		if !isNameByte(c) && c != ':' {
			return dst
		}
	}
	return appendLower(dst, host)
}

// readHost tells the service and the region a host of the vendor's names, in
// lower case: {service}[.{region}][.internal|.inner].api.ksyun.com. Any other
// host names none.
func readHost(host []byte) (service, region []byte) {
	rest, ok := bytes.CutSuffix(host, []byte(".api.ksyun.com"))
	if !ok {
		return nil, nil
	}
	if string(rest) == "internal" || string(rest) == "inner" {
		return nil, nil
	}
	rest = bytes.TrimSuffix(rest, []byte(".internal"))
	rest = bytes.TrimSuffix(rest, []byte(".inner"))
	service, region, _ = bytes.Cut(rest, []byte{'.'})
	return service, region
}
