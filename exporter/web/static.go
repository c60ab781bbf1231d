package web

import (
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"net/http"
	"path"
	"strings"
)

// statics serves files of assets/static under names with a hash of their content,
// so that browsers may keep them for ever.
type statics struct {
	files map[string]string // by URL: the name of the file
	urls  map[string]string // by the name of the file
}

var static = newStatics()

func newStatics() statics {
	s := statics{map[string]string{}, map[string]string{}}
	names, _ := fs.Glob(assets, "assets/static/*") // the pattern is valid
	for _, name := range names {
		content, _ := assets.ReadFile(name)
		sum := sha256.Sum256(content)
		base, ext := path.Base(name), path.Ext(name)
		url := "/static/" + strings.TrimSuffix(base, ext) + "." + hex.EncodeToString(sum[:6]) + ext
		s.files[url], s.urls[base] = name, url
	}
	return s
}

// url returns the URL of a file.
func (s statics) url(name string) string { return s.urls[name] }

// ServeHTTP implements http.Handler.
func (s statics) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name, ok := s.files[r.URL.Path]
	if !ok {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	http.ServeFileFS(w, r, assets, name)
}
