//go:build ignore

// Mkzones packs a release of the tz database into zoneinfo.gz:
//
//	go run mkzones.go /usr/share/zoneinfo/tzdata.zi
//
// It needs zic. The database is in the public domain. What lay before 1999 is cut off;
// it would double the size and decides nothing about a text message of today.
package main

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"io/fs"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
)

func main() {
	log.SetFlags(0)
	if len(os.Args) != 2 {
		log.Fatal("usage: go run mkzones.go TZDATA.ZI")
	}
	source, err := os.ReadFile(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	first, _, _ := strings.Cut(string(source), "\n")
	version, ok := strings.CutPrefix(first, "# version ")
	if !ok {
		log.Fatalf("%s does not begin with its version", os.Args[1])
	}
	dir, err := os.MkdirTemp("", "zones")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	const from1999 = "@915148800"
	if out, err := exec.Command("zic", "-b", "slim", "-r", from1999, "-d", dir, os.Args[1]).CombinedOutput(); err != nil {
		log.Fatalf("zic: %v\n%s", err, out)
	}
	names := map[string][]string{} // by content: links share one
	err = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		names[string(data)] = append(names[string(data)], filepath.ToSlash(name))
		return err
	})
	if err != nil {
		log.Fatal(err)
	}
	var bodies []string
	for b := range names {
		sort.Strings(names[b])
		bodies = append(bodies, b)
	}
	sort.Slice(bodies, func(i, j int) bool { return names[bodies[i]][0] < names[bodies[j]][0] })

	var packed bytes.Buffer
	zw, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	if err != nil {
		log.Fatal(err)
	}
	field := func(s string) {
		var n [2]byte
		binary.BigEndian.PutUint16(n[:], uint16(len(s)))
		_, _ = zw.Write(n[:])
		_, _ = zw.Write([]byte(s))
	}
	field(strings.TrimSpace(version))
	for _, b := range bodies {
		field(strings.Join(names[b], " "))
		field(b)
	}
	if err := zw.Close(); err != nil {
		log.Fatal(err)
	}
	if err := os.WriteFile("zoneinfo.gz", packed.Bytes(), 0o644); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("release %s, %d zones, %d bytes\n", version, len(bodies), packed.Len())
}
