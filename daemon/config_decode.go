package daemon

import (
	"errors"
	"fmt"
	"reflect"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/signpost-sms/signpost/handlers"
	"github.com/signpost-sms/signpost/messaging"
)

// decoder decodes YAML into Go values strictly, and reports everything that does not fit
// with its position: the yaml package alone stops at the first unknown key, suggests
// nothing, and does not say which key a wrong value belongs to. It serves the configuration
// and the options of handlers alike.
type decoder struct {
	doc    *document
	report func(Finding)
	// set is told of every key that got a value, or would have if the value were right.
	set func(key string, p Place)
	// chain builds a chain of handlers that is the value of an option; nil where none can be.
	chain func(n *yaml.Node, key string) messaging.Middleware
}

// selfDecoder is a type of ours that reads its node itself.
type selfDecoder interface {
	decode(d *decoder, n *yaml.Node, key string)
}

// bad reports an error at a node.
func (d *decoder) bad(n *yaml.Node, key, rule, message, mend string) {
	d.report(Finding{SeverityError, d.doc.place(n), rule, key, message, mend})
}

// decode puts what n says into v, which must be addressable. It reports whether all of it fit.
func (d *decoder) decode(n *yaml.Node, v reflect.Value, key string) {
	at := n
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if n.Style&yaml.TaggedStyle != 0 && n.ShortTag() != "!!str" {
		d.bad(n, key, "yaml-tag", "a value begins with !, which YAML reads as a type", "remove it, or put the value in quotes if it is text")
		return
	}
	if s, ok := v.Addr().Interface().(selfDecoder); ok {
		s.decode(d, at, key)
		return
	}
	if c, ok := v.Addr().Interface().(*handlers.Chain); ok && d.chain != nil {
		c.Then = d.chain(at, key)
		return
	}
	if s, ok := v.Addr().Interface().(handlers.Shorthand); ok && v.Kind() == reflect.Struct && n.Kind == yaml.ScalarNode && !isNull(n) {
		if d.unsetBelow(n, key) {
			return
		}
		if err := s.SetScalar(n.Value); err != nil {
			d.bad(n, key, "bad-value", lastOf(key)+": "+err.Error(), "")
		}
		return
	}
	if _, ok := v.Addr().Interface().(yaml.Unmarshaler); ok {
		d.foreign(n, v, key)
		return
	}
	if isScalar(v.Type()) {
		d.scalar(n, v, key)
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		if isNull(n) {
			v.SetZero()
			return
		}
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		d.decode(at, v.Elem(), key)
	case reflect.Struct:
		d.structure(n, v, key)
	case reflect.Map:
		d.mapping(n, v, key)
	case reflect.Slice:
		d.list(n, v, key)
	default:
		d.foreign(n, v, key)
	}
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

// scalar decodes a word or a text.
func (d *decoder) scalar(n *yaml.Node, v reflect.Value, key string) {
	if d.set != nil {
		d.set(key, d.doc.place(n))
	}
	if n.Kind == yaml.ScalarNode && d.unsetBelow(n, key) {
		return
	}
	switch {
	case n.Kind != yaml.ScalarNode:
		d.wrongType(n, key, "one value")
	case isNull(n):
		d.bad(n, key, "no-value", lastOf(key)+" has no value", `write one after the colon ("" for an empty text), or remove the line to get the default`)
	default:
		if p := setText(v, n.Value); p != nil {
			d.bad(n, key, p.rule, lastOf(key)+": "+p.message, p.mend)
		}
	}
}

// wrongType reports a value of the wrong shape.
func (d *decoder) wrongType(n *yaml.Node, key, want string) {
	mend := "write " + want
	switch {
	case isBareTemplate(n):
		mend = mendTemplate
	case d.set != nil && key == "contexts":
		mend = "write the name of each context as a key: " + handlerExample
	case d.set != nil && parentKey(key) == "contexts":
		mend = "put the handlers under handlers: " + handlerExample
	}
	d.bad(n, key, "wrong-type", fmt.Sprintf("%s is %s and not %s", lastOf(key), shape(n), want), mend)
}

// mendTemplate is what to do about a template without quotes: YAML reads two braces as two
// mappings.
const mendTemplate = `put a text with {{...}} in quotes: "{{.Body}}"`

func isBareTemplate(n *yaml.Node) bool {
	return n.Kind == yaml.MappingNode && n.Style&yaml.FlowStyle != 0 && len(n.Content) > 0 && n.Content[0].Kind == yaml.MappingNode
}

// shape names what a node is, to somebody who does not know YAML's words.
func shape(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case n.Kind == yaml.MappingNode:
		return "keys with values"
	case isNull(n):
		return "empty"
	}
	return "one value"
}

// lastOf is the last part of a key.
func lastOf(key string) string {
	if key == "" {
		return "the file"
	}
	return key[strings.LastIndex(key, ".")+1:]
}

// join is the key of a part.
func join(key, part string) string {
	if key == "" {
		return part
	}
	return key + "." + part
}

// pairs gives the keys and values of a mapping, and reports what is wrong with the keys. A
// key that stands there twice is given once.
func (d *decoder) pairs(n *yaml.Node, key string, each func(name string, k, v *yaml.Node)) {
	first := make(map[string]*yaml.Node)
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		for k.Kind == yaml.AliasNode {
			k = k.Alias
		}
		switch {
		case isBareTemplate(n) && i == 0:
			d.bad(n, key, "wrong-type", lastOf(key)+" is keys with values and not a text", mendTemplate)
			continue
		case k.Kind != yaml.ScalarNode:
			d.bad(n.Content[i], key, "bad-key", "a key is "+shape(k)+" and not one word", "write the key as one word before the colon")
			continue
		case k.ShortTag() == "!!merge":
			d.bad(n.Content[i], key, "merge-key", "merge keys (<<) are not supported", "repeat the keys, or use an alias for a whole value")
			continue
		}
		if f := first[k.Value]; f != nil {
			d.bad(n.Content[i], join(key, k.Value), "duplicate-key", fmt.Sprintf("the key %s stands in line %d already", quote(k.Value), f.Line), "keep one of the two")
			continue
		}
		first[k.Value] = n.Content[i]
		each(k.Value, n.Content[i], v)
	}
}

// structure decodes a mapping with known keys.
func (d *decoder) structure(n *yaml.Node, v reflect.Value, key string) {
	if isNull(n) {
		return // a section whose lines are all commented out
	}
	fields := fieldsOf(v.Type())
	if n.Kind != yaml.MappingNode {
		d.wrongType(n, key, "keys with values")
		return
	}
	d.pairs(n, key, func(name string, k, value *yaml.Node) {
		for _, f := range fields {
			if f.name == name {
				if d.set != nil && !isScalar(v.FieldByIndex(f.index).Type()) {
					d.set(join(key, name), d.doc.place(k))
				}
				d.decode(value, v.FieldByIndex(f.index), join(key, name))
				return
			}
		}
		d.unknown(k, name, key, fields)
	})
}

// unknown reports a key that a structure does not have.
func (d *decoder) unknown(k *yaml.Node, name, key string, fields []field) {
	var known []string
	for _, f := range fields {
		known = append(known, f.name)
	}
	message, mend := unknownKey("key", name, known)
	if nearest(name, known) == "" && d.set != nil {
		for _, path := range scalarKeys() {
			if lastOf(path) == name && path != name {
				mend = fmt.Sprintf("the key belongs under %s", strings.TrimSuffix(path, "."+name))
				break
			}
		}
	}
	d.bad(k, join(key, name), "unknown-key", message, mend)
}

// mapping decodes a mapping with keys of the user's choice.
func (d *decoder) mapping(n *yaml.Node, v reflect.Value, key string) {
	if isNull(n) {
		return
	}
	if n.Kind != yaml.MappingNode {
		d.wrongType(n, key, "keys with values")
		return
	}
	if v.IsNil() {
		v.Set(reflect.MakeMap(v.Type()))
	}
	d.pairs(n, key, func(name string, k, value *yaml.Node) {
		mk, mv := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		if p := setMapKey(mk, name); p != nil {
			d.bad(k, join(key, name), p.rule, p.message, p.mend)
			return
		}
		if d.set != nil {
			d.set(join(key, name), d.doc.place(k))
		}
		d.decode(value, mv, join(key, name))
		v.SetMapIndex(mk, mv)
	})
}

func setMapKey(k reflect.Value, name string) *problem {
	if !isScalar(k.Type()) {
		return &problem{"bad-key", "the keys here are of a type that cannot be written", "this is a defect of the handler that defines the options"}
	}
	return setText(k, name)
}

// list decodes a list.
func (d *decoder) list(n *yaml.Node, v reflect.Value, key string) {
	if isNull(n) {
		return
	}
	if n.Kind != yaml.SequenceNode {
		d.bad(n, key, "wrong-type", fmt.Sprintf("%s is %s and not a list", lastOf(key), shape(n)), "write [a, b], or each item on a line of its own after a dash")
		return
	}
	items := reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content))
	for i, c := range n.Content {
		item := fmt.Sprintf("%s[%d]", key, i)
		if d.set != nil {
			d.set(item, d.doc.place(c))
		}
		d.decode(c, items.Index(i), item)
	}
	v.Set(items)
}

// foreign leaves the decoding to the yaml package, for types that read themselves and for
// those that this decoder does not know, such as an interface.
func (d *decoder) foreign(n *yaml.Node, v reflect.Value, key string) {
	if d.unsetBelow(n, key) {
		return
	}
	err := n.Load(v.Addr().Interface(), yaml.WithKnownFields())
	if err == nil {
		return
	}
	var all *yaml.LoadErrors
	if !errors.As(err, &all) {
		d.bad(n, key, "bad-value", lastOf(key)+": "+err.Error(), "")
		return
	}
	for _, e := range all.Errors {
		p := d.doc.place(n)
		if e.Mark.Line > 0 {
			p = d.doc.at(e.Mark.Line, e.Mark.Column)
		}
		message := e.Message
		if cause := errors.Unwrap(e); cause != nil {
			message = cause.Error()
		}
		d.report(Finding{SeverityError, p, "bad-value", key, lastOf(key) + ": " + message, ""})
	}
}

// unsetBelow reports the variables that are not set in anything below n, and whether there
// are any.
func (d *decoder) unsetBelow(n *yaml.Node, key string) bool {
	if n.Kind == yaml.AliasNode {
		return d.unsetBelow(n.Alias, key)
	}
	unset := d.doc.unset[n]
	for _, f := range unset {
		f.Key = key
		d.report(f)
	}
	any := len(unset) > 0
	for _, c := range n.Content {
		any = d.unsetBelow(c, key) || any
	}
	return any
}
