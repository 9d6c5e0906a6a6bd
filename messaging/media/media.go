// Package media knows what the platform takes as media of a message: how many, how large,
// of which types. [Check] is for a message that is to be queued; what it refuses would fail
// later, and some of it silently.
//
// It is data and pure functions: nothing is fetched.
package media

import (
	"errors"
	"fmt"
	"net/url"
	"path"
	"slices"
	"strings"
)

// Version is the version of the tables, and Date the day on which they were last held
// against their sources.
const (
	Version = "2026-11"
	Date    = "2026-11-23"
)

// Reason is why a message whose media are refused does not leave; it is stable, and a
// metric's label.
const Reason = "media"

// Class is the kind of a number of ours.
type Class string

// The classes.
const (
	TenDLC    Class = "10dlc"
	TollFree  Class = "tollfree"
	ShortCode Class = "shortcode"
	Canada    Class = "canada"
	Local     Class = "local"
)

// MostItems is how many media a message may have.
const MostItems = 8

// Advised is the total size in bytes that every carrier delivers.
const Advised = 500_000

// longestURL is more than any that browsers and servers agree on.
const longestURL = 2048

// MostBytes is the total size of the media of a message from a number of the class.
func (c Class) MostBytes() int64 {
	if c == TollFree {
		return 750_000
	}
	return 1_200_000
}

// types are those that the platform accepts, with the endings of names that are known to be
// of them.
var types = map[string][]string{
	"audio/ac3":       {".ac3"},
	"audio/amr":       {".amr"},
	"audio/midi":      {".mid", ".midi"},
	"audio/mp4":       {".m4a"},
	"audio/mpeg":      {".mp3"},
	"audio/mpeg3":     nil,
	"audio/ogg":       {".ogg", ".oga"},
	"audio/vnd.wav":   {".wav"},
	"audio/vorbis":    nil,
	"image/bmp":       {".bmp"},
	"image/gif":       {".gif"},
	"image/jpeg":      {".jpg", ".jpeg"},
	"image/png":       {".png"},
	"text/calendar":   {".ics"},
	"text/plain":      {".txt"},
	"text/vcard":      {".vcf"},
	"text/x-vcard":    nil,
	"video/3gp":       {".3gp"},
	"video/h264":      {".h264"},
	"video/mp4":       {".mp4"},
	"video/mpeg":      {".mpg", ".mpeg"},
	"video/quicktime": {".mov"},
}

// refused are the endings of names that people try, and that the platform does not take.
var refused = []string{
	".avi", ".doc", ".docx", ".exe", ".gz", ".heic", ".htm", ".html", ".mkv", ".pdf", ".ppt", ".pptx", ".rar", ".rtf",
	".svg", ".tif", ".tiff", ".webm", ".webp", ".wmv", ".xls", ".xlsx", ".zip",
}

// Types lists the accepted types, sorted.
func Types() []string {
	list := make([]string, 0, len(types))
	for t := range types {
		list = append(list, t)
	}
	slices.Sort(list)
	return list
}

// Accepted reports whether the platform takes a content type, with or without parameters.
func Accepted(contentType string) bool {
	t, _, _ := strings.Cut(contentType, ";")
	_, ok := types[strings.ToLower(strings.TrimSpace(t))]
	return ok
}

// Check says what is wrong with the media of a message that is to be sent from a number of
// the class; nil if nothing is as far as can be told without fetching them. The error tells
// which one by its place, never the URL, which may hold a secret.
func Check(urls []string, class Class) error {
	switch n := len(urls); {
	case n == 0:
		return errors.New("media: there is none: give 1 to 8 URLs")
	case n > MostItems:
		return fmt.Errorf("media: %d are too many: a message takes %d", n, MostItems)
	}
	for i, u := range urls {
		if err := checkURL(u, class); err != nil {
			return fmt.Errorf("media %d: %w", i+1, err)
		}
	}
	return nil
}

func checkURL(raw string, class Class) error {
	if len(raw) > longestURL {
		return fmt.Errorf("the URL has %d bytes: at most %d", len(raw), longestURL)
	}
	if strings.ContainsFunc(raw, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		return errors.New("the URL has spaces or control characters in it: percent-encode them")
	}
	u, err := url.Parse(raw)
	switch {
	case err != nil:
		return errors.New("this is no URL: use https://host/path")
	case u.Scheme != "http" && u.Scheme != "https":
		return fmt.Errorf("the platform fetches http and https only, not %q: use https://host/path", u.Scheme)
	case u.Hostname() == "":
		return errors.New("the URL has no host: use https://host/path")
	case u.User != nil:
		return errors.New("the URL has a user in it, which everybody on the way can read: use a signed URL instead")
	}
	if ext := strings.ToLower(path.Ext(u.Path)); slices.Contains(refused, ext) {
		return typeError(fmt.Sprintf("the platform does not take %s files: send JPEG, PNG, GIF, MP4, MP3, 3GP, text, vCard or calendar of %d bytes in all, or a link in the text",
			ext, class.MostBytes()))
	}
	return nil
}

// typeError says that a medium is of a type that the platform does not take.
type typeError string

func (e typeError) Error() string { return string(e) }

// RuleOf is the id of the rule that an error of Check is about.
func RuleOf(err error) string {
	if errors.As(err, new(typeError)) {
		return "media.types"
	}
	return "media.urls"
}

// Item is a medium whose type and size are known.
type Item struct {
	Type  string // a content type
	Bytes int64
}

// CheckItems says what is wrong with media that are to be sent from a number of the class.
func CheckItems(items []Item, class Class) error {
	if len(items) > MostItems {
		return fmt.Errorf("media: %d are too many: a message takes %d", len(items), MostItems)
	}
	var total int64
	for i, it := range items {
		if !Accepted(it.Type) {
			return fmt.Errorf("media %d: the platform does not take %q", i+1, it.Type)
		}
		total += it.Bytes
	}
	if most := class.MostBytes(); total > most {
		return fmt.Errorf("media: %d bytes in all are too many: a %s number takes %d, and every carrier %d", total, class, most, Advised)
	}
	return nil
}

// TypeOf guesses an accepted type from the ending of a name or URL path; empty if it cannot.
func TypeOf(name string) string {
	ext := strings.ToLower(path.Ext(name))
	for t, exts := range types {
		if slices.Contains(exts, ext) {
			return t
		}
	}
	return ""
}

// Rule is one row of the sheet.
type Rule struct {
	ID      string // stable
	Text    string // one line, for people
	Version string
	Date    string // ISO; when it was last held against its source
	Source  string
}

// Rules lists the rules in a fixed order.
func Rules() []Rule {
	list := []Rule{
		{ID: "media.urls", Text: "1 to 8 URLs, http or https", Source: "SignalWire create-message reference"},
		{ID: "media.size", Text: "in all 1.2 MB from local numbers, 750 kB from toll-free ones; 500 kB advised", Source: "SignalWire MIME types page"},
		{ID: "media.types", Text: "only the types of the platform's list, PDF not among them", Source: "SignalWire MIME types page"},
	}
	for i := range list {
		list[i].Version, list[i].Date = Version, Date
	}
	return list
}
