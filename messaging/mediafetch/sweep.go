package mediafetch

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// kept is a file on the disk.
type kept struct {
	path  string
	size  int64
	asked time.Time // for the last time
}

// Sweep removes what nobody asked for since Config.KeepFor, and of the rest those that were
// not asked for longest until they are no more than Config.MaxTotal. Call it now and then;
// whoever reads a file meanwhile reads on.
func (f *Fetcher) Sweep(ctx context.Context, now time.Time) (removed int, err error) {
	var files, notes, halves []kept
	for _, dir := range []struct {
		name string
		ours func(name string) bool
		list *[]kept
	}{{"files", isHash, &files}, {"urls", isHash, &notes}, {"", isHalf, &halves}} {
		list, err := entries(filepath.Join(f.cfg.Dir, dir.name), dir.ours)
		if err != nil {
			return removed, fmt.Errorf("sweep media: %w", err)
		}
		*dir.list = list
	}
	slices.SortFunc(files, func(a, b kept) int { return cmp.Compare(b.asked.UnixNano(), a.asked.UnixNano()) })
	var errs []error
	remove := func(k kept) {
		switch err := os.Remove(k.path); {
		case err == nil:
			removed++
		case !errors.Is(err, fs.ErrNotExist):
			errs = append(errs, err)
		}
	}
	var total int64
	for _, k := range files {
		if ctx.Err() != nil {
			return removed, ctx.Err()
		}
		if total+k.size > f.cfg.MaxTotal || now.Sub(k.asked) > f.cfg.KeepFor {
			remove(k)
			continue
		}
		total += k.size
	}
	before := removed
	for _, k := range notes {
		if now.Sub(k.asked) > f.cfg.KeepFor || f.orphan(k.path) {
			remove(k)
		}
	}
	for _, k := range halves {
		if now.Sub(k.asked) > time.Hour { // of a process that died
			remove(k)
		}
	}
	return before, errors.Join(errs...)
}

// orphan reports whether a note is of a file that is gone.
func (f *Fetcher) orphan(path string) bool {
	var n note
	data, err := os.ReadFile(path)
	if err != nil || json.Unmarshal(data, &n) != nil {
		return true
	}
	_, err = os.Stat(f.path(filepath.Base(n.Digest)))
	return errors.Is(err, fs.ErrNotExist)
}

// isHash and isHalf tell by the name whether a Fetcher made a file. Others may lie in the
// same directories, and are not ours to remove.
func isHash(name string) bool {
	b, err := hex.DecodeString(name)
	return err == nil && len(b) == sha256.Size
}

func isHalf(name string) bool {
	return strings.HasPrefix(name, halfFile) || strings.HasPrefix(name, halfNote)
}

// entries lists our files of a directory; none if nothing was ever fetched into it.
func entries(dir string, ours func(name string) bool) ([]kept, error) {
	des, err := os.ReadDir(dir)
	if err != nil {
		return nil, gone(err)
	}
	var list []kept
	for _, de := range des {
		info, err := de.Info()
		if err != nil || !info.Mode().IsRegular() || !ours(de.Name()) {
			continue // gone meanwhile, or a directory
		}
		list = append(list, kept{filepath.Join(dir, de.Name()), info.Size(), info.ModTime()})
	}
	return list, nil
}

// Forget removes the media of URLs, and that they were ever fetched. The same bytes under
// another URL go too, and are fetched again when they are asked for.
func (f *Fetcher) Forget(urls ...string) error {
	var errs []error
	for _, u := range urls {
		at := filepath.Join(f.cfg.Dir, "urls", hash([]byte(u)))
		var n note
		if data, err := os.ReadFile(at); err == nil && json.Unmarshal(data, &n) == nil {
			errs = append(errs, gone(os.Remove(f.path(filepath.Base(n.Digest)))))
		}
		errs = append(errs, gone(os.Remove(at)))
	}
	return errors.Join(errs...)
}

// gone forgives that a file was not there.
func gone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
