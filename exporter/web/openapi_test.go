package web_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ksyun-tap/ksyun-tap/exporter/groups"
	"github.com/ksyun-tap/ksyun-tap/exporter/record"
)

// document returns the OpenAPI document as it is served.
func document(t *testing.T) map[string]any {
	t.Helper()
	w := ask(handler(nil), http.MethodGet, "/api/v1/openapi.json")
	if w.Code != 200 || !strings.HasPrefix(w.Header().Get("Content-Type"), "application/json") {
		t.Fatalf("%d %s", w.Code, w.Header().Get("Content-Type"))
	}
	doc, err := jsonschema.UnmarshalJSON(w.Body)
	require.NoError(t, err)
	return doc.(map[string]any)
}

// at returns the part of v at the keys, following references.
func at(t *testing.T, doc map[string]any, keys ...string) map[string]any {
	t.Helper()
	part := doc
	for _, k := range keys {
		next, ok := part[k].(map[string]any)
		require.True(t, ok, "the document has no %q in %q", k, keys)
		if ref, ok := next["$ref"].(string); ok {
			next = at(t, doc, strings.Split(strings.TrimPrefix(ref, "#/"), "/")...)
		}
		part = next
	}
	return part
}

// pathOf returns the path of the document that a target is an instance of.
func pathOf(t *testing.T, doc map[string]any, target string) string {
	t.Helper()
	path, _, _ := strings.Cut(target, "?")
	parts := strings.Split(path, "/")
	for template := range at(t, doc, "paths") {
		own := strings.Split(template, "/")
		if len(own) == len(parts) && matches(own, parts) {
			return template
		}
	}
	t.Fatalf("no path of the document is that of %s", target)
	return ""
}

// matches reports whether a path is an instance of a template.
func matches(template, path []string) bool {
	for i, part := range template {
		if part != path[i] && !strings.HasPrefix(part, "{") {
			return false
		}
	}
	return true
}

// compiler compiles schemas of the document by reference.
func compiler(t *testing.T, doc map[string]any) func(parts ...string) *jsonschema.Schema {
	t.Helper()
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	require.NoError(t, c.AddResource("openapi.json", doc))
	escape := strings.NewReplacer("~", "~0", "/", "~1", "{", "%7B", "}", "%7D")
	return func(parts ...string) *jsonschema.Schema {
		t.Helper()
		for i, p := range parts {
			parts[i] = escape.Replace(p)
		}
		s, err := c.Compile("openapi.json#/" + strings.Join(parts, "/"))
		require.NoError(t, err)
		return s
	}
}

// TestResponsesAreAsDocumented checks every response in testdata, and those of the
// status, against the schemas of the document.
func TestResponsesAreAsDocumented(t *testing.T) {
	doc := document(t)
	schema := compiler(t, doc)
	h := handler(nil)
	targets := []string{"/api/v1/status/config", "/api/v1/status/flags", "/api/v1/status/buildinfo", "/api/v1/status/runtimeinfo", "/api/v1/groups/9cg7kq57m6f8p"}
	for _, g := range goldens {
		if strings.HasPrefix(g.target, "/api/") && g.name != "unknown-endpoint.json" {
			targets = append(targets, g.target)
		}
	}
	checked := map[string]bool{}
	for _, target := range targets {
		w := ask(h, http.MethodGet, target)
		media, _, _ := strings.Cut(w.Header().Get("Content-Type"), ";")
		path := pathOf(t, doc, target)
		at(t, doc, "paths", path, "get", "responses", strconv.Itoa(w.Code), "content", media, "schema") // it is documented
		checked[fmt.Sprint(path, w.Code)] = true
		var s *jsonschema.Schema
		if w.Code == 200 {
			s = schema("paths", path, "get", "responses", "200", "content", media, "schema")
		} else {
			s = schema("components", "schemas", "Error")
		}
		lines := []string{w.Body.String()}
		switch media {
		case "application/x-ndjson":
			lines = strings.Split(strings.TrimSpace(lines[0]), "\n")
		case "text/csv", "text/plain":
			continue
		}
		for _, line := range lines {
			value, err := jsonschema.UnmarshalJSON(strings.NewReader(line))
			require.NoError(t, err)
			assert.NoError(t, s.Validate(value), target)
		}
	}
	for path := range at(t, doc, "paths") {
		if path != "/api/v1/events" && path != "/api/v1/openapi.json" && !checked[path+"200"] {
			t.Errorf("no response of %s was checked", path)
		}
	}
}

// TestSchemaRefusesOthers checks that the schemas are strict.
func TestSchemaRefusesOthers(t *testing.T) {
	doc := document(t)
	s := compiler(t, doc)("components", "schemas", "Failure")
	valid := `{"ts":"2026-11-23T08:00:00Z","start":"2026-11-23T08:00:00Z","outcome":"error","retryable":false,"duration_seconds":0`
	for text, ok := range map[string]bool{
		valid + `}`:                        true,
		valid + `,"status":403}`:           true,
		valid + `,"status":"403"}`:         false,
		valid + `,"error_code":"x"}`:       false,
		valid + `,"id":"x"}`:               false,
		valid + `,"category":"something"}`: false,
	} {
		value, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
		require.NoError(t, err)
		if err := s.Validate(value); (err == nil) != ok {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// TestDocumentHasAllKeys compares the schemas with the types that are encoded.
func TestDocumentHasAllKeys(t *testing.T) {
	doc := document(t)
	for name, value := range map[string]any{"Failure": record.Record{}, "Group": groups.Group{}} {
		want := keysOf(reflect.TypeOf(value))
		got := slices.Sorted(maps.Keys(at(t, doc, "components", "schemas", name, "properties")))
		slices.Sort(want)
		assert.Equal(t, want, got, name)
	}
}

// keysOf returns the JSON keys of a struct.
func keysOf(t reflect.Type) (keys []string) {
	for f := range t.Fields() {
		key, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous:
			keys = append(keys, keysOf(f.Type)...)
		case key != "-":
			keys = append(keys, key)
		}
	}
	return keys
}

// TestDocumentHasAllParameters checks that each endpoint takes the parameters that
// the document lists, and no others.
func TestDocumentHasAllParameters(t *testing.T) {
	doc := document(t)
	h := handler(nil)
	all := slices.Collect(maps.Keys(at(t, doc, "components", "parameters")))
	for _, d := range record.Dimensions() {
		assert.Contains(t, all, d.Name, "the dimension %s is not in the document", d.Name)
	}
	for path := range at(t, doc, "paths") {
		if path == "/api/v1/events" || path == "/api/v1/openapi.json" {
			continue
		}
		var listed []string
		params, _ := at(t, doc, "paths", path, "get")["parameters"].([]any)
		for _, p := range params {
			if ref, ok := p.(map[string]any)["$ref"].(string); ok {
				listed = append(listed, strings.TrimPrefix(ref, "#/components/parameters/"))
			}
		}
		for _, name := range all {
			// The value is not valid, but its error is another one than that of an
			// unknown parameter.
			w := ask(h, http.MethodGet, strings.Replace(path, "{id}", signatureID, 1)+"?"+name+"=%00")
			var a struct{ Error string }
			_ = json.Unmarshal(w.Body.Bytes(), &a)
			if known := !strings.Contains(a.Error, "unknown parameter"); known != slices.Contains(listed, name) {
				t.Errorf("%s: parameter %s is listed: %t: %s", path, name, !known, a.Error)
			}
		}
	}
}

// TestReferencesResolve walks through the document.
func TestReferencesResolve(t *testing.T) {
	doc := document(t)
	if doc["openapi"] != "3.1.1" {
		t.Errorf("version %v", doc["openapi"])
	}
	used := map[string]bool{}
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			if ref, ok := v["$ref"].(string); ok {
				at(t, doc, strings.Split(strings.TrimPrefix(ref, "#/"), "/")...)
				used[ref] = true
			}
			for _, part := range v {
				walk(part)
			}
		case []any:
			for _, part := range v {
				walk(part)
			}
		}
	}
	walk(doc)
	for kind, all := range at(t, doc, "components") {
		for name := range all.(map[string]any) {
			assert.True(t, used["#/components/"+kind+"/"+name], "%s %s is not used", kind, name)
		}
	}
}
