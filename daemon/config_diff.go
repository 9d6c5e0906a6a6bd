package daemon

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/signpost-sms/signpost/messaging"
	"github.com/signpost-sms/signpost/relay"
)

// Changes are the keys in which two configurations differ, sorted by their order in the
// configuration.
type Changes struct {
	Restart []string // take effect with the next start only
	Reload  []string // take effect on reload
}

// Diff tells which keys differ between the configuration in force and its successor. Lists
// count as one key, a context as two: contexts.NAME.handlers and contexts.NAME.states, and
// contexts.NAME.opted_out where that is not the default. A secret counts under the key of
// the secret, also if its file changed and not its name.
func Diff(old, next *Config) Changes {
	var c Changes
	was, is := old.values(), next.values()
	for _, v := range is.list {
		if before, ok := was.byKey[v.key]; !ok || before != v.full {
			c.add(v)
		}
	}
	for _, v := range was.list {
		if _, ok := is.byKey[v.key]; !ok {
			c.add(v)
		}
	}
	return c
}

func (c *Changes) add(v value) {
	if v.reload {
		c.Reload = append(c.Reload, v.key)
	} else {
		c.Restart = append(c.Restart, v.key)
	}
}

// hashBits is how much of the hash a metric can carry: a float64 is exact up to 2^53.
const hashBits = 48

// Hash is a number that replicas with the same configuration share. Secrets do not take part:
// a metric is public, and a short token could be guessed from its hash.
func (c *Config) Hash() uint64 {
	h := sha256.New()
	for _, v := range c.values().list {
		fmt.Fprintf(h, "%s=%d:%s\n", v.key, len(v.public), v.public)
	}
	return binary.BigEndian.Uint64(h.Sum(nil)) >> (64 - hashBits)
}

// value is a key with what it is set to.
type value struct {
	key    string
	full   string // for comparison only: may hold secrets and numbers
	public string // without secrets
	reload bool
}

type values struct {
	list  []value
	byKey map[string]string // full
}

func (vs *values) add(v value) {
	vs.list = append(vs.list, v)
	vs.byKey[v.key] = v.full
}

// values lists every key of the configuration in its order; contexts and lists at the end.
func (c *Config) values() *values {
	vs := &values{byKey: make(map[string]string)}
	root := reflect.ValueOf(c).Elem()
	for _, k := range keys() {
		v, _ := fieldAt(root, k.path)
		full, public := show(v)
		vs.add(value{k.path, full, public, k.reload})
	}
	for _, name := range slices.Sorted(maps.Keys(c.Templates)) {
		text := fmt.Sprintf("%+v", c.Templates[name]) // maps print sorted
		vs.add(value{"templates." + name, text, text, true})
	}
	for _, name := range c.ContextNames() {
		ctx := c.Contexts[name]
		for _, chain := range []struct {
			name  string
			items []HandlerConfig
		}{{"handlers", ctx.Handlers}, {"states", ctx.States}} {
			var full, public strings.Builder
			for _, item := range chain.items {
				fmt.Fprintf(&full, "%q:", item.Name)
				canonical(&full, item.options, false)
				fmt.Fprintf(&public, "%q:", item.Name)
				canonical(&public, item.options, true)
			}
			vs.add(value{"contexts." + name + "." + chain.name, full.String(), public.String(), true})
		}
		if ctx.OptedOut == OptedOutObserve {
			vs.add(value{"contexts." + name + ".opted_out", string(ctx.OptedOut), string(ctx.OptedOut), true})
		}
	}
	s := &c.Sending
	vs.addList("sending.numbers", func(number func(messaging.Number) string) (items []string) {
		for _, n := range s.Numbers {
			items = append(items, fmt.Sprintf("%s %s %q", number(n.Number), n.Class, n.Campaign))
		}
		return items
	})
	vs.addList("sending.campaigns", func(number func(messaging.Number) string) (items []string) {
		for _, c := range s.Campaigns {
			item := fmt.Sprintf("%q %q %s %d %q", c.ID, c.Brand, c.Tier, c.Daily, c.Rate)
			for _, n := range c.Numbers {
				item += " " + number(n)
			}
			items = append(items, item)
		}
		return items
	})
	vs.addList("sending.caps", func(func(messaging.Number) string) (items []string) {
		for _, c := range s.Caps {
			items = append(items, fmt.Sprintf("%s %d %s", c.Category, c.Messages, shortDuration(c.Window)))
		}
		return items
	})
	vs.addList("sending.countries", func(func(messaging.Number) string) []string { return s.Countries })
	vs.addList("quiet_hours.states", func(func(messaging.Number) string) (items []string) {
		for _, state := range slices.Sorted(maps.Keys(c.QuietHours.States)) {
			items = append(items, fmt.Sprintf("%s %q", state, c.QuietHours.States[state]))
		}
		return items
	})
	allowed := strings.Join(c.Media.Allow, ",")
	vs.add(value{"media.allow", allowed, allowed, false})
	return vs
}

// addList adds a list, which takes effect on reload. write is given how to write a number.
func (vs *values) addList(key string, write func(number func(messaging.Number) string) []string) {
	full := write(func(n messaging.Number) string { return string(n) })
	vs.add(value{key, strings.Join(full, ","), strings.Join(write(messaging.Number.Masked), ","), true})
}

// show writes a scalar, with and without what must not be seen.
func show(v reflect.Value) (full, public string) {
	switch x := v.Interface().(type) {
	case relay.Secret:
		if x == "" {
			return "", ""
		}
		return x.Reveal(), x.String()
	case StoreURL:
		return x.Reveal(), x.String()
	case messaging.Number:
		return string(x), x.Masked()
	case slog.Level:
		s := strings.ToLower(x.String())
		return s, s
	case time.Duration:
		s := shortDuration(x)
		return s, s
	case bool:
		s := map[bool]string{true: "on", false: "off"}[x]
		return s, s
	}
	s := fmt.Sprint(v.Interface())
	return s, s
}

// shortDuration is 10m rather than 10m0s.
func shortDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// secretOption is the option of a handler that holds a secret.
const secretOption = "secret"

// canonical writes what a node says, without how it is written: style, comments, order of
// keys and aliases do not show. What is public has no secrets.
func canonical(b *strings.Builder, n *yaml.Node, public bool) {
	if n == nil {
		b.WriteString("~")
		return
	}
	switch n.Kind {
	case yaml.AliasNode:
		canonical(b, n.Alias, public)
	case yaml.MappingNode:
		parts := make(map[string]string)
		for i := 0; i+1 < len(n.Content); i += 2 {
			var k, v strings.Builder
			canonical(&k, n.Content[i], public)
			if public && n.Content[i].Value == secretOption {
				v.WriteString("[redacted]")
			} else {
				canonical(&v, n.Content[i+1], public)
			}
			parts[k.String()] = v.String()
		}
		b.WriteByte('{')
		for _, k := range slices.Sorted(maps.Keys(parts)) {
			b.WriteString(k + ":" + parts[k] + ",")
		}
		b.WriteByte('}')
	case yaml.SequenceNode:
		b.WriteByte('[')
		for _, c := range n.Content {
			canonical(b, c, public)
			b.WriteByte(',')
		}
		b.WriteByte(']')
	default:
		if isNull(n) {
			b.WriteString("~")
			return
		}
		fmt.Fprintf(b, "%q", n.Value)
	}
}

// String is every setting in force on a line of its own, as key: value. Secrets are
// placeholders, numbers are masked, and handlers show their names without their options.
func (c Config) String() string {
	var b strings.Builder
	for _, v := range c.values().list {
		if strings.HasPrefix(v.key, "contexts.") || strings.HasPrefix(v.key, "templates.") {
			continue
		}
		fmt.Fprintf(&b, "%s: %s\n", v.key, v.public)
	}
	if len(c.Templates) > 0 {
		fmt.Fprintf(&b, "templates: %s\n", strings.Join(slices.Sorted(maps.Keys(c.Templates)), ", "))
	}
	for _, name := range c.ContextNames() {
		ctx := c.Contexts[name]
		for _, chain := range []struct {
			name  string
			items []HandlerConfig
		}{{"handlers", ctx.Handlers}, {"states", ctx.States}} {
			var names []string
			for _, item := range chain.items {
				names = append(names, item.Name)
			}
			if len(names) > 0 {
				fmt.Fprintf(&b, "contexts.%s.%s: %s\n", name, chain.name, strings.Join(names, ", "))
			}
		}
		if ctx.OptedOut == OptedOutObserve {
			fmt.Fprintf(&b, "contexts.%s.opted_out: %s\n", name, ctx.OptedOut)
		}
	}
	return b.String()
}

// Format writes String for every verb, so that no verb prints a field.
func (c Config) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, c.String()) }

// LogValue is String.
func (c Config) LogValue() slog.Value { return slog.StringValue(c.String()) }

// MarshalText is String.
func (c Config) MarshalText() ([]byte, error) { return []byte(c.String()), nil }
