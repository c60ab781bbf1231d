package diagnosis

import (
	"reflect"
	"strings"
	"unsafe"
)

// footprint returns the memory that is reachable from v, in bytes, without what was
// counted before. Maps are estimated by their keys and values.
func footprint(v reflect.Value, counted map[unsafe.Pointer]bool) int {
	return int(v.Type().Size()) + behind(v, counted) //nolint:gosec // of types that are not huge
}

// behind returns the memory that v points to.
func behind(v reflect.Value, counted map[unsafe.Pointer]bool) int {
	n := 0
	switch v.Kind() { //nolint:exhaustive // the others point to nothing
	case reflect.Pointer:
		if v.IsNil() || counted[v.UnsafePointer()] {
			return 0
		}
		counted[v.UnsafePointer()] = true
		return footprint(v.Elem(), counted)
	case reflect.String:
		if p := unsafe.Pointer(unsafe.StringData(v.String())); !counted[p] {
			counted[p] = true
			n += v.Len()
		}
	case reflect.Slice:
		if v.IsNil() || counted[v.UnsafePointer()] {
			return 0
		}
		counted[v.UnsafePointer()] = true
		n += v.Cap() * int(v.Type().Elem().Size()) //nolint:gosec // of types that are not huge
		for i := range v.Len() {
			n += behind(v.Index(i), counted)
		}
	case reflect.Array:
		for i := range v.Len() {
			n += behind(v.Index(i), counted)
		}
	case reflect.Map:
		for all := v.MapRange(); all.Next(); {
			n += footprint(all.Key(), counted) + footprint(all.Value(), counted)
		}
	case reflect.Struct:
		if v.Type().PkgPath() == "sync/atomic" && strings.HasPrefix(v.Type().Name(), "Pointer[") {
			p := v.FieldByName("v").UnsafePointer()
			if p == nil || counted[p] {
				return 0
			}
			counted[p] = true
			return footprint(reflect.NewAt(v.Field(0).Type().Elem().Elem(), p).Elem(), counted)
		}
		for i := range v.NumField() {
			n += behind(v.Field(i), counted)
		}
	}
	return n
}
