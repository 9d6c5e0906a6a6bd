package quiet

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"encoding/binary"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

//go:generate go run mkzones.go /usr/share/zoneinfo/tzdata.zi

// The tz database is embedded here, although the standard library can embed one too:
// time.LoadLocation prefers whatever the machine has, of whatever age, and what comes with
// Go is as old as the Go release. In 2026 four Canadian provinces and territories stopped
// changing their clocks within eight months, so that age is an hour of somebody's evening.
//
//go:embed zoneinfo.gz
var zoneinfo []byte

// zoneTable is the unpacked tz database.
type zoneTable struct {
	version string
	bodies  map[string]string // TZif by zone name

	mu     sync.Mutex
	loaded map[string]*time.Location // never more than there are names in bodies
}

var zones = sync.OnceValue(func() *zoneTable {
	t := &zoneTable{bodies: map[string]string{}, loaded: map[string]*time.Location{}}
	if err := t.unpack(zoneinfo); err != nil {
		panic("quiet: the embedded tz database is damaged: " + err.Error())
	}
	return t
})

func (t *zoneTable) unpack(packed []byte) error {
	zr, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return err
	}
	data, err := io.ReadAll(zr)
	if err != nil {
		return err
	}
	field := func() (string, error) {
		if len(data) < 2 {
			return "", io.ErrUnexpectedEOF
		}
		n := 2 + int(binary.BigEndian.Uint16(data))
		if len(data) < n {
			return "", io.ErrUnexpectedEOF
		}
		s := string(data[2:n])
		data = data[n:]
		return s, nil
	}
	if t.version, err = field(); err != nil {
		return err
	}
	for len(data) > 0 {
		names, err := field()
		if err != nil {
			return err
		}
		body, err := field()
		if err != nil {
			return err
		}
		for name := range strings.FieldsSeq(names) {
			t.bodies[name] = body
		}
	}
	return nil
}

// location gives the zone of that name, nil if there is none.
func (t *zoneTable) location(name string) *time.Location {
	body, ok := t.bodies[name]
	if !ok {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if loc := t.loaded[name]; loc != nil {
		return loc
	}
	loc, err := time.LoadLocationFromTZData(name, []byte(body))
	if err != nil {
		return nil
	}
	t.loaded[name] = loc
	return loc
}

// alike reports whether two zones keep the same time from now on: the last line of a zone's
// data is its rule for the time after its last listed change.
func (t *zoneTable) alike(a, b string) bool {
	return a == b || tail(t.bodies[a]) == tail(t.bodies[b])
}

func tail(body string) string {
	body = strings.TrimSuffix(body, "\n")
	return body[strings.LastIndexByte(body, '\n')+1:]
}

// Location gives the time zone of that IANA name from the embedded tz database, whatever
// the machine's own says. Its times are right from 1999 on.
func Location(name string) (*time.Location, error) {
	if loc := zones().location(name); loc != nil {
		return loc, nil
	}
	return nil, fmt.Errorf("no time zone %q in tz database %s: use an IANA name such as America/Chicago", name, zones().version)
}

// ZoneVersion names the release of the embedded tz database, such as 2026f.
func ZoneVersion() string { return zones().version }
