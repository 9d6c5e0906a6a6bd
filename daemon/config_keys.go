package daemon

import (
	"encoding"
	"errors"
	"log/slog"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// field is a key of a struct that YAML is decoded into.
type field struct {
	name  string
	index []int
	tag   reflect.StructTag
}

// fieldsOf lists the keys of a struct type by its yaml tags, as the yaml package reads them:
// a field without a tag has its lower-cased name, "-" is none, "inline" are its own fields.
func fieldsOf(t reflect.Type) []field {
	var fields []field
	for i := range t.NumField() {
		f := t.Field(i)
		name, opts, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		if !f.IsExported() || name == "-" {
			continue
		}
		if strings.Contains(opts, "inline") && f.Type.Kind() == reflect.Struct {
			for _, in := range fieldsOf(f.Type) {
				in.index = append([]int{i}, in.index...)
				fields = append(fields, in)
			}
			continue
		}
		if name == "" {
			name = strings.ToLower(f.Name)
		}
		fields = append(fields, field{name: name, index: []int{i}, tag: f.Tag})
	}
	return fields
}

// key is a scalar setting of the configuration: one that a flag or a variable can set.
type key struct {
	path string
	tag  reflect.StructTag
	// reload is true if it, or a section around it, takes effect without a restart.
	reload bool
	kind   reflect.Type
}

// envPrefix begins the names of our variables.
const envPrefix = "SIGNPOST_"

// env is the name of the variable that sets the key.
func (k key) env() string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(k.path, ".", "_"))
}

// keys lists the scalar settings in the order of the configuration.
func keys() []key { return keysOf(reflect.TypeFor[Config](), "", false) }

func keysOf(t reflect.Type, prefix string, reload bool) []key {
	var all []key
	for _, f := range fieldsOf(t) {
		ft := t.FieldByIndex(f.index).Type
		reload := reload || f.tag.Get("reload") != ""
		switch {
		case isScalar(ft):
			all = append(all, key{path: prefix + f.name, tag: f.tag, reload: reload, kind: ft})
		case ft.Kind() == reflect.Struct:
			all = append(all, keysOf(ft, prefix+f.name+".", reload)...)
		}
	}
	return all
}

// scalarKeys lists the paths of all scalar settings.
func scalarKeys() []string {
	var paths []string
	for _, k := range keys() {
		paths = append(paths, k.path)
	}
	return paths
}

// fieldAt finds the scalar field of a path such as relay.url.
func fieldAt(v reflect.Value, path string) (reflect.Value, bool) {
	first, rest, more := strings.Cut(path, ".")
	for _, f := range fieldsOf(v.Type()) {
		if f.name != first {
			continue
		}
		fv := v.FieldByIndex(f.index)
		if !more {
			return fv, isScalar(fv.Type())
		}
		if fv.Kind() == reflect.Struct {
			return fieldAt(fv, rest)
		}
	}
	return reflect.Value{}, false
}

// isScalar reports whether values of the type are written as one word or text.
func isScalar(t reflect.Type) bool {
	if reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()) {
		return true
	}
	switch t.Kind() {
	case reflect.String, reflect.Bool, reflect.Float32, reflect.Float64,
		reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return true
	}
	return false
}

// chooser is a text that is one of a few.
type chooser interface{ choices() []string }

// problem is what is wrong with a value.
type problem struct{ rule, message, mend string }

// setText gives a scalar its value. A nil problem means that it was taken. Secrets, stores and
// phone numbers are texts of their own type, which are taken as they are: a problem repeats
// the value, and those must not be repeated.
func setText(v reflect.Value, text string) *problem {
	if v.Type() != reflect.TypeFor[string]() {
		text = strings.TrimSpace(text) // of a plain text, spaces are part
	}
	switch p := v.Addr().Interface().(type) {
	case *time.Duration:
		return setDuration(p, text)
	case *slog.Level:
		return setLevel(p, text)
	case encoding.TextUnmarshaler:
		if err := p.UnmarshalText([]byte(text)); err != nil {
			return &problem{"bad-value", err.Error(), ""}
		}
		return nil
	}
	if c, ok := v.Interface().(chooser); ok {
		return setChoice(v, c.choices(), text)
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Bool:
		on, ok := parseSwitch(text)
		if !ok {
			return &problem{"bad-switch", quote(text) + " is neither on nor off", "write on or off (true and false will do)"}
		}
		v.SetBool(on)
	case reflect.Float32, reflect.Float64:
		n, err := strconv.ParseFloat(text, v.Type().Bits())
		if err != nil || math.IsNaN(n) || math.IsInf(n, 0) {
			return &problem{"bad-number", quote(text) + " is not a number", "write digits, such as 0.5"}
		}
		v.SetFloat(n)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		n, err := strconv.ParseUint(text, 10, v.Type().Bits())
		if err != nil {
			return badInteger(text)
		}
		v.SetUint(n)
	default:
		n, err := strconv.ParseInt(text, 10, v.Type().Bits())
		if err != nil {
			return badInteger(text)
		}
		v.SetInt(n)
	}
	return nil
}

func badInteger(text string) *problem {
	if digits := strings.TrimLeft(text, "+-"); digits != "" && strings.Trim(digits, "0123456789") == "" {
		return &problem{"bad-number", quote(text) + " is out of range", "write a number closer to zero"}
	}
	return &problem{"bad-number", quote(text) + " is not a whole number", "write digits only, such as 10"}
}

// day is what a duration such as 30d counts: 24 hours, whatever a clock change makes of one.
const day = 24 * time.Hour

// parseDuration is time.ParseDuration with whole days before the rest: 30d, 1d12h.
func parseDuration(text string) (time.Duration, error) {
	days, rest, ok := strings.Cut(text, "d")
	if !ok {
		return time.ParseDuration(text)
	}
	n, err := strconv.ParseUint(days, 10, 64)
	if err != nil || n > uint64(math.MaxInt64/day) {
		return 0, errDuration
	}
	d := time.Duration(n) * day
	if rest == "" {
		return d, nil
	}
	more, err := time.ParseDuration(rest)
	if err != nil || more < 0 || rest[0] == '+' || d+more < d {
		return 0, errDuration
	}
	return d + more, nil
}

var errDuration = errors.New("not a duration")

func setDuration(p *time.Duration, text string) *problem {
	d, err := parseDuration(text)
	if err == nil && (d != 0 || text != "0") {
		*p = d
		return nil
	}
	if _, number := strconv.ParseFloat(text, 64); number == nil {
		return &problem{"bad-duration", quote(text) + " has no unit", "write " + text + "s for seconds, " + text + "m for minutes or " + text + "h for hours"}
	}
	return &problem{"bad-duration", quote(text) + " is not a duration", "write a number with a unit: ms, s, m, h or d, such as 30s, 1h30m or 7d"}
}

func setLevel(p *slog.Level, text string) *problem {
	levels := map[string]slog.Level{
		"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError,
	}
	level, ok := levels[strings.ToLower(text)]
	if !ok {
		return badChoice(text, []string{"debug", "info", "warn", "error"})
	}
	*p = level
	return nil
}

func setChoice(v reflect.Value, choices []string, text string) *problem {
	for _, c := range choices {
		if strings.EqualFold(c, text) {
			v.SetString(c)
			return nil
		}
	}
	return badChoice(text, choices)
}

func badChoice(text string, choices []string) *problem {
	p := &problem{"bad-choice", quote(text) + " is not one of the choices", "write " + orList(choices)}
	if near := nearest(text, choices); near != "" {
		p.mend = "did you mean " + near + "? The choices are " + orList(choices)
	}
	return p
}

// parseSwitch reads the words that YAML 1.1 knows for true and false, so that it does not
// matter whether the text was quoted.
func parseSwitch(text string) (on, ok bool) {
	switch strings.ToLower(text) {
	case "on", "true", "yes":
		return true, true
	case "off", "false", "no":
		return false, true
	}
	return false, false
}

// maxQuoted bounds what a finding repeats of a value.
const maxQuoted = 40

// quote shows a value in a finding.
func quote(text string) string {
	if r := []rune(text); len(r) > maxQuoted {
		text = string(r[:maxQuoted]) + "..."
	}
	return strconv.Quote(text)
}
