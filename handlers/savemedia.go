package handlers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/signpost-sms/signpost/messaging"
	"github.com/signpost-sms/signpost/messaging/mediafetch"
)

// SaveMedia saves the media of messages as files of the directory dir, those of the given
// types or, without any, all; see [SaveMediaOptions]. It panics if dir or a type is wrong.
func SaveMedia(dir string, types ...string) messaging.Middleware {
	mw, err := (&SaveMediaOptions{Dir: dir, Types: types}).Middleware(Env{Where: "handlers.SaveMedia"})
	if err != nil {
		panic("handlers: SaveMedia: " + err.Error())
	}
	return mw
}

// SaveMediaOptions are the options of [SaveMedia].
//
// A file appears whole or not at all, with mode 0600. Its name is the SHA-256 of its bytes
// with the extension of its type, so that the same picture is one file however often it
// comes, a message that is handled again changes nothing, and no name is a stranger's. A
// record of level info tells which message a file came with. The files are yours: nothing
// removes them.
//
// If a medium cannot be saved, the others are, and the message is tried again or, where that
// would not help, becomes a dead letter; see [OpenMedia].
type SaveMediaOptions struct {
	// Dir is an absolute path; the directory is made with mode 0700 if it is not there. Required.
	Dir string `yaml:"dir"`
	// Types are what is saved, such as image/jpeg or image/*, by what the bytes are and not
	// what their host says. Default: all.
	Types []string `yaml:"types"`
	// Continue lets a message go on to the handlers after it although a medium was saved.
	// Without one, a message always does.
	Continue bool `yaml:"continue"`
}

// Middleware makes the middleware.
func (o *SaveMediaOptions) Middleware(env Env) (messaging.Middleware, error) {
	if !filepath.IsAbs(o.Dir) {
		return nil, errors.New("dir: not an absolute path: name the directory for the files, such as /var/lib/signpost/pictures")
	}
	for i, typ := range o.Types {
		if main, sub, ok := strings.Cut(typ, "/"); !ok || main == "" || sub == "" || strings.ContainsAny(typ, "; \t") || main == "*" {
			return nil, fmt.Errorf("types[%d]: %q is not a type: write it like image/jpeg, or image/* for all of a kind", i, typ)
		}
	}
	s := &mediaSaver{dir: filepath.Clean(o.Dir), env: env}
	for _, typ := range o.Types {
		s.types = append(s.types, strings.ToLower(typ))
	}
	goOn := o.Continue
	return func(next messaging.Handler) messaging.Handler {
		return messaging.HandlerFunc(func(ctx context.Context, w messaging.Responder, ev *messaging.Event) error {
			if ev.Kind == messaging.KindMessage {
				saved, err := s.save(ctx, ev)
				if err != nil || saved > 0 && !goOn {
					return err
				}
			}
			return next.HandleEvent(ctx, w, ev)
		})
	}, nil
}

// SetScalar sets Dir.
func (o *SaveMediaOptions) SetScalar(text string) error {
	o.Dir = text
	return nil
}

type mediaSaver struct {
	dir   string
	types []string // lower-case; none for all
	env   Env
}

// save saves what it can of a message. The error is that of a medium which may be saved
// later, if there is one: that is worth trying again.
func (s *mediaSaver) save(ctx context.Context, ev *messaging.Event) (saved int, failed error) {
	for i := range ev.Media {
		ok, err := s.one(ctx, ev, i)
		if err != nil && (failed == nil || messaging.IsDrop(failed)) {
			failed = err
		}
		if ok {
			saved++
		}
	}
	return saved, failed
}

func (s *mediaSaver) one(ctx context.Context, ev *messaging.Event, i int) (saved bool, err error) {
	m, err := OpenMedia(ctx, ev, i)
	if err != nil {
		return false, err
	}
	defer m.Close()
	if !s.wants(m.Type) {
		return false, nil
	}
	if err := s.store(m); err != nil {
		return false, fmt.Errorf("save medium %d of %d: %w", i+1, len(ev.Media), err)
	}
	s.env.logger().LogAttrs(ctx, slog.LevelInfo, "medium saved", slog.String("component", "handlers"), slog.String("context", ev.Context),
		slog.String("event_id", ev.ID), slog.String("file", m.Filename()), slog.Int64("bytes", m.Size))
	return true, nil
}

func (s *mediaSaver) wants(typ string) bool {
	typ, _, _ = strings.Cut(strings.ToLower(typ), ";")
	main, _, _ := strings.Cut(typ, "/")
	return len(s.types) == 0 || slices.Contains(s.types, typ) || slices.Contains(s.types, main+"/*")
}

// store copies a medium into the directory, unless it is there.
func (s *mediaSaver) store(m *mediafetch.File) error {
	path := filepath.Join(s.dir, m.Filename())
	if info, err := os.Lstat(path); err == nil && info.Mode().IsRegular() && info.Size() == m.Size {
		return nil
	}
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return err
	}
	tmp, err := os.CreateTemp(s.dir, ".saving-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name()) // it is not there any more if all went well
	defer tmp.Close()
	if _, err := io.Copy(tmp, m); err != nil {
		return err
	}
	if err := errors.Join(tmp.Sync(), tmp.Close()); err != nil {
		return err
	}
	if err := os.Rename(tmp.Name(), path); err != nil {
		return err
	}
	return syncDir(s.dir)
}

// syncDir makes the names in a directory outlive a power cut: the message is done with after
// that, and nothing would save the file again.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
