package handlers_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/signpost-sms/signpost/handlers"
	"github.com/signpost-sms/signpost/messaging"
	"github.com/signpost-sms/signpost/messaging/mediafetch"
	"github.com/signpost-sms/signpost/messaging/messagingtest"
)

var (
	picture = []byte("\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x06\x00\x00\x00\x1f\x15\xc4\x89")
	words   = []byte("Dear all,\nthis is a text.\n")
)

// mediaHost serves /picture, /words, /large, and a status by its number.
type mediaHost struct {
	*httptest.Server
	hits atomic.Int32
}

func newMediaHost(t *testing.T) *mediaHost {
	t.Helper()
	h := &mediaHost{}
	h.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.hits.Add(1)
		switch r.URL.Path {
		case "/picture", "/again":
			w.Write(picture)
		case "/words":
			w.Write(words)
		case "/large":
			w.Write(make([]byte, 2000))
		case "/404":
			w.WriteHeader(http.StatusNotFound)
		default:
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	t.Cleanup(h.Close)
	return h
}

// withMedia is a context that fetches at most 1000 bytes, from the allowed hosts only.
func withMedia(t *testing.T, allow ...*mediaHost) context.Context {
	t.Helper()
	cfg := mediafetch.Config{Dir: filepath.Join(t.TempDir(), "fetched"), MaxBytes: 1000}
	for _, h := range allow {
		cfg.Allow = append(cfg.Allow, strings.TrimPrefix(h.URL, "http://"))
	}
	f, err := mediafetch.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return handlers.WithMedia(t.Context(), f)
}

// mms is a message with media of the host.
func mms(h *mediaHost, paths ...string) *messaging.Event {
	ev := message(canary)
	for _, p := range paths {
		ev.Media = append(ev.Media, h.URL+p+"?token="+canary)
	}
	return ev
}

func TestOpenMedia(t *testing.T) {
	t.Parallel()
	h := newMediaHost(t)
	m, err := handlers.OpenMedia(withMedia(t, h), mms(h, "/words", "/picture"), 1)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	got, err := io.ReadAll(m)
	if err != nil || !bytes.Equal(got, picture) {
		t.Errorf("got %q, %v", got, err)
	}
	if m.Type != "image/png" || m.Size != int64(len(picture)) || m.Filename() != digest(picture)+".png" {
		t.Errorf("got %s of %d bytes, named %s", m.Type, m.Size, m.Filename())
	}
	if n := h.hits.Load(); n != 1 {
		t.Errorf("the host was asked %d times for one medium", n)
	}
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func TestOpenMediaErrorsInstruct(t *testing.T) {
	t.Parallel()
	h, other := newMediaHost(t), newMediaHost(t)
	other.Close()
	ctx := withMedia(t, h, other)
	over, cancel := context.WithCancel(ctx)
	cancel()
	for name, tt := range map[string]struct {
		ctx  context.Context
		ev   *messaging.Event
		i    int
		drop bool
		want string
	}{
		"forbidden":  {withMedia(t), mms(h, "/picture"), 0, true, "allowed"},
		"too large":  {ctx, mms(h, "/picture", "/large"), 1, true, "medium 2 of 2: fetch medium: the medium is larger"},
		"gone":       {ctx, mms(h, "/404"), 0, true, "404"},
		"busy":       {ctx, mms(h, "/503"), 0, false, "503"},
		"no host":    {ctx, mms(other, "/picture"), 0, false, "refused"},
		"over":       {over, mms(h, "/picture"), 0, false, "canceled"},
		"beyond":     {ctx, mms(h, "/picture"), 1, true, "medium 1 of a message with 1"},
		"below":      {ctx, mms(h, "/picture"), -1, true, "medium -1"},
		"no fetcher": {t.Context(), mms(h, "/picture"), 0, true, "WithMedia"},
	} {
		m, err := handlers.OpenMedia(tt.ctx, tt.ev, tt.i)
		if err == nil {
			m.Close()
			t.Errorf("%s: opened", name)
			continue
		}
		if messaging.IsDrop(err) != tt.drop || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %q, drop %v; want %q, drop %v", name, err, messaging.IsDrop(err), tt.want, tt.drop)
		}
		// A delay that a handler asks for counts no attempt: it could wait for ever.
		if _, instructed := messaging.RetryDelay(err); instructed {
			t.Errorf("%s: waits without counting", name)
		}
		if strings.Contains(err.Error(), canary) || strings.Contains(err.Error(), "http://") {
			t.Errorf("%s: the error tells the URL: %v", name, err)
		}
	}
}

// saved lists the files of a directory by name; it fails for one with another mode than 0600.
func saved(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		if info, err := e.Info(); err != nil || info.Mode() != 0o600 {
			t.Errorf("%s has mode %v, %v", e.Name(), info.Mode(), err)
		}
		names = append(names, e.Name())
	}
	return names
}

func TestSaveMedia(t *testing.T) {
	t.Parallel()
	pic, txt := digest(picture)+".png", digest(words)+".txt"
	for name, tt := range map[string]struct {
		options handlers.SaveMediaOptions
		paths   []string
		files   []string
		passes  bool
	}{
		"all":                {handlers.SaveMediaOptions{}, []string{"/picture", "/words", "/again"}, []string{pic, txt}, false},
		"of a type":          {handlers.SaveMediaOptions{Types: []string{"image/png"}}, []string{"/picture", "/words"}, []string{pic}, false},
		"of a kind":          {handlers.SaveMediaOptions{Types: []string{"video/*", "Image/*"}}, []string{"/words", "/picture"}, []string{pic}, false},
		"type of parameters": {handlers.SaveMediaOptions{Types: []string{"text/plain"}}, []string{"/words"}, []string{txt}, false},
		"of another type":    {handlers.SaveMediaOptions{Types: []string{"image/jpeg", "text/*"}}, []string{"/picture"}, nil, true},
		"no media":           {handlers.SaveMediaOptions{}, nil, nil, true},
		"continue":           {handlers.SaveMediaOptions{Continue: true}, []string{"/picture"}, []string{pic}, true},
	} {
		h := newMediaHost(t)
		tt.options.Dir = filepath.Join(t.TempDir(), "a", "b")
		chain := build(t, &tt.options, handlers.Env{Logger: slog.New(slog.DiscardHandler)})(passed)
		for range 2 { // again changes nothing
			rec, err := messagingtest.RunContext(withMedia(t, h), chain, mms(h, tt.paths...))
			if err != nil || (len(rec.Replies()) > 0) != tt.passes {
				t.Errorf("%s: replies %q, %v; want passed on: %v", name, rec.Replies(), err, tt.passes)
			}
		}
		slices.Sort(tt.files)
		if got := saved(t, tt.options.Dir); !slices.Equal(got, tt.files) {
			t.Errorf("%s: got files %q, want %q", name, got, tt.files)
		}
		if tt.files == nil {
			continue
		}
		if info, err := os.Stat(tt.options.Dir); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("%s: the directory has mode %v, %v", name, info.Mode(), err)
		}
		for _, f := range tt.files {
			if b, err := os.ReadFile(filepath.Join(tt.options.Dir, f)); err != nil || digest(b) != strings.TrimSuffix(f, filepath.Ext(f)) {
				t.Errorf("%s: %s holds %q, %v", name, f, b, err)
			}
		}
	}
}

// One that fails keeps no other from being saved, and what may pass is tried again although
// another is beyond help.
func TestSaveMediaSavesWhatItCan(t *testing.T) {
	t.Parallel()
	h := newMediaHost(t)
	for _, tt := range []struct {
		paths []string
		drop  bool
	}{
		{[]string{"/404", "/picture"}, true},
		{[]string{"/404", "/503", "/picture"}, false},
		{[]string{"/503", "/large", "/picture"}, false},
	} {
		dir := t.TempDir()
		rec, err := messagingtest.RunContext(withMedia(t, h), handlers.SaveMedia(dir)(passed), mms(h, tt.paths...))
		if err == nil || messaging.IsDrop(err) != tt.drop || len(rec.Sends()) > 0 {
			t.Errorf("%q: got %v, drop %v, and %d sends", tt.paths, err, messaging.IsDrop(err), len(rec.Sends()))
		}
		if got := saved(t, dir); len(got) != 1 {
			t.Errorf("%q: got files %q, want the picture", tt.paths, got)
		}
	}
}

// A file that is damaged, or a link that somebody left there, is replaced and not followed.
func TestSaveMediaReplacesWhatIsNotTheMedium(t *testing.T) {
	t.Parallel()
	h := newMediaHost(t)
	dir, elsewhere := t.TempDir(), filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(filepath.Join(dir, digest(picture)+".png"), picture[:5], 0o644); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.WriteFile(elsewhere, []byte("precious"), 0o600), os.Symlink(elsewhere, filepath.Join(dir, digest(words)+".txt"))); err != nil {
		t.Fatal(err)
	}
	if _, err := messagingtest.RunContext(withMedia(t, h), handlers.SaveMedia(dir)(passed), mms(h, "/picture", "/words")); err != nil {
		t.Fatal(err)
	}
	if got := saved(t, dir); len(got) != 2 {
		t.Errorf("got files %q", got)
	}
	if b, err := os.ReadFile(elsewhere); err != nil || string(b) != "precious" {
		t.Errorf("followed the link: %q, %v", b, err)
	}
	if b, err := os.ReadFile(filepath.Join(dir, digest(picture)+".png")); err != nil || !bytes.Equal(b, picture) {
		t.Errorf("kept half a file: %q, %v", b, err)
	}
}

func TestSaveMediaIsNotPureAndLeavesStatesAlone(t *testing.T) {
	t.Parallel()
	h := newMediaHost(t)
	dir := t.TempDir()
	chain := handlers.SaveMedia(dir)(handlers.Ignore())
	if messaging.IsInstant(chain) {
		t.Error("it waits for the network, and says that it is pure")
	}
	ev := state(messaging.StateDelivered)
	ev.Media = []string{h.URL + "/picture"} // what we sent ourselves
	if _, err := messagingtest.RunContext(withMedia(t, h), chain, ev); err != nil {
		t.Fatal(err)
	}
	if n := h.hits.Load(); n != 0 || len(saved(t, dir)) > 0 {
		t.Errorf("saved the media of a delivery state, asking %d times", n)
	}
}

func TestSaveMediaLogsNoURL(t *testing.T) {
	t.Parallel()
	h := newMediaHost(t)
	var j journal
	ev := mms(h, "/picture")
	chain := build(t, &handlers.SaveMediaOptions{Dir: t.TempDir()}, handlers.Env{Logger: j.logger(slog.LevelDebug)})(passed)
	if _, err := messagingtest.RunContext(withMedia(t, h), chain, ev); err != nil {
		t.Fatal(err)
	}
	r := j.records(t)
	if len(r) != 1 || r[0]["event_id"] != ev.ID || r[0]["file"] != digest(picture)+".png" || r[0]["context"] != "support" {
		t.Errorf("got %s, want one record that ties the message to the file", j.String())
	}
	for _, secret := range []string{canary, "http://", string(sender), string(ours)} {
		if strings.Contains(j.String(), secret) {
			t.Errorf("the log holds %q: %s", secret, j.String())
		}
	}
}

func TestSaveMediaOptions(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		item, want string // in the error, if not empty
	}{
		{"save_media: /var/lib/signpost/pictures", ""},
		{"save_media: {dir: /x, types: [image/svg+xml, 'image/*']}", ""},
		{"save_media: pictures", "dir: not an absolute path"},
		{"save_media: {}", "dir: not an absolute path"},
		{"save_media: {dir: /x, types: [image/png, jpeg]}", `types[1]: "jpeg" is not a type`},
		{"save_media: {dir: /x, types: ['*/*']}", "types[0]"},
		{"save_media: {dir: /x, types: [image/]}", "types[0]"},
		{"save_media: {dir: /x, types: ['text/plain; charset=utf-8']}", "types[0]"},
	} {
		_, _, err := decode(tt.item, handlers.Env{})
		if (err != nil) != (tt.want != "") || err != nil && !strings.HasPrefix(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", tt.item, err, tt.want)
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("SaveMedia with a relative path did not panic")
		}
	}()
	handlers.SaveMedia("pictures")
}
