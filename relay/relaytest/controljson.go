package relaytest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"
)

// The control API writes durations as text ("5s") and refuses members it does
// not know, by their whole path. encoding/json does neither, so values are
// translated on the way in and out, along their types.

var (
	durationType = reflect.TypeFor[time.Duration]()
	timeType     = reflect.TypeFor[time.Time]()
	rawType      = reflect.TypeFor[json.RawMessage]()
)

// fieldError is a complaint about one member of a request.
type fieldError struct {
	Field   string `json:"field"`
	Message string `json:"message"`
}

func (e *fieldError) Error() string { return e.Field + ": " + e.Message }

// column is a struct field with its JSON name.
type column struct {
	name     string
	index    []int
	typ      reflect.Type
	omitZero bool
}

// columns lists the fields of a struct, those of embedded structs among them.
func columns(t reflect.Type) []column {
	var out []column
	for _, f := range reflect.VisibleFields(t) {
		tag := f.Tag.Get("json")
		name, options, _ := strings.Cut(tag, ",")
		if !f.IsExported() || name == "-" || f.Anonymous && name == "" {
			continue
		}
		if name == "" {
			name = f.Name
		}
		out = append(out, column{name, f.Index, f.Type, strings.Contains(options, "omit")})
	}
	return out
}

// readControl decodes data into v, a pointer.
func readControl(data []byte, v any) error {
	var tree any
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	if err := d.Decode(&tree); err != nil {
		return &fieldError{"", "the body is not JSON: " + err.Error()}
	}
	if d.More() {
		return &fieldError{"", "the body holds more than one JSON value"}
	}
	tree, err := translate(tree, reflect.TypeOf(v).Elem(), "")
	if err != nil {
		return err
	}
	plain, err := json.Marshal(tree)
	if err != nil {
		return fmt.Errorf("encode the request again: %w", err)
	}
	if err := json.Unmarshal(plain, v); err != nil {
		return &fieldError{"", err.Error()} // translate has seen to the types
	}
	return nil
}

// translate checks names and turns durations into numbers.
func translate(tree any, t reflect.Type, path string) (any, error) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t == durationType {
		return translateDuration(tree, path)
	}
	if t == rawType || t == timeType || tree == nil {
		return tree, nil
	}
	var err error
	switch t.Kind() {
	case reflect.Struct:
		object, ok := tree.(map[string]any)
		if !ok {
			return nil, &fieldError{path, "must be an object"}
		}
		cols := columns(t)
		for name, value := range object {
			i := slices.IndexFunc(cols, func(c column) bool { return c.name == name })
			if i < 0 {
				var known []string
				for _, c := range cols {
					known = append(known, c.name)
				}
				return nil, &fieldError{join(path, name), "unknown field; known here: " + strings.Join(known, ", ")}
			}
			if object[name], err = translate(value, cols[i].typ, join(path, name)); err != nil {
				return nil, err
			}
		}
	case reflect.String:
		if _, ok := tree.(string); !ok {
			return nil, &fieldError{path, "must be a string"}
		}
	case reflect.Bool:
		if _, ok := tree.(bool); !ok {
			return nil, &fieldError{path, "must be true or false"}
		}
	case reflect.Int, reflect.Int64:
		n, ok := tree.(json.Number)
		if _, err := n.Int64(); !ok || err != nil {
			return nil, &fieldError{path, "must be a whole number"}
		}
	case reflect.Slice:
		list, ok := tree.([]any)
		if !ok {
			return nil, &fieldError{path, "must be an array"}
		}
		for i, value := range list {
			if list[i], err = translate(value, t.Elem(), fmt.Sprintf("%s[%d]", path, i)); err != nil {
				return nil, err
			}
		}
	case reflect.Map:
		object, ok := tree.(map[string]any)
		if !ok {
			return nil, &fieldError{path, "must be an object"}
		}
		for name, value := range object {
			if object[name], err = translate(value, t.Elem(), join(path, name)); err != nil {
				return nil, err
			}
		}
	}
	return tree, nil
}

func translateDuration(tree any, path string) (any, error) {
	text, ok := tree.(string)
	if !ok {
		return nil, &fieldError{path, `must be a duration such as "1.5s"`}
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return nil, &fieldError{path, fmt.Sprintf(`%q is no duration; write one such as "1.5s"`, text)}
	}
	return int64(d), nil
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// showControl is the inverse: a value for json.Marshal with durations as text.
func showControl(v any) any { return show(reflect.ValueOf(v)) }

func show(v reflect.Value) any {
	if !v.IsValid() {
		return nil
	}
	switch t := v.Type(); {
	case t == durationType:
		return v.Interface().(time.Duration).String()
	case t == timeType, t == rawType:
		return v.Interface()
	}
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if v.IsNil() {
			return nil
		}
		return show(v.Elem())
	case reflect.Struct:
		out := map[string]any{}
		for _, c := range columns(v.Type()) {
			f := v.FieldByIndex(c.index)
			if !c.omitZero || !f.IsZero() {
				out[c.name] = show(f)
			}
		}
		return out
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return v.Interface()
		}
		out := make([]any, v.Len())
		for i := range out {
			out[i] = show(v.Index(i))
		}
		return out
	case reflect.Map:
		out := map[string]any{}
		for _, key := range v.MapKeys() {
			out[key.String()] = show(v.MapIndex(key))
		}
		return out
	}
	return v.Interface()
}
