package daemon

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/signpost-sms/signpost/messaging"
	"github.com/signpost-sms/signpost/messaging/memory"
	"github.com/signpost-sms/signpost/relay/relaytest"
)

// A picture that is texted lands in a file; what a URL must not lead to is refused before
// anybody is asked, and the message is a dead letter with the reason. No log tells an address
// or a text. The clock is real, since a host is asked over real sockets.
func TestMediaFromThePhoneToTheFile(t *testing.T) {
	t.Parallel()
	const canary = "canary-4711"
	png := []byte("\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x06\x00\x00\x00\x1f\x15\xc4\x89")
	var asked, inside atomic.Int32
	host := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if asked.Add(1) == 1 {
			w.WriteHeader(http.StatusServiceUnavailable) // and is asked again
			return
		}
		w.Write(png)
	}))
	t.Cleanup(host.Close)
	private := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { inside.Add(1) }))
	t.Cleanup(private.Close)

	space := newSpace(t)
	dir := t.TempDir()
	cfg := mustLoad(t, `
contexts:
  support:
    handlers:
      - save_media: {dir: `+filepath.Join(dir, "pictures")+`, types: ["image/*"], continue: true}
      - reply: "Thank you."
media:
  dir: `+filepath.Join(dir, "media")+`
  allow: ["`+strings.TrimPrefix(host.URL, "http://")+`"]
`)
	sim := simConfig(space.URL())
	cfg.Relay, cfg.SignalWire, cfg.HTTP, cfg.Store = sim.Relay, sim.SignalWire, sim.HTTP, sim.Store
	log := &logBuffer{}
	outcomes := make(chan *messaging.Outcome, 10)
	d, err := New(*cfg, nil, WithDial(space.DialContext), withStore(memory.New(memory.Config{})),
		WithLogger(slog.New(slog.NewJSONHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug, AddSource: true}))),
		withTrace(func(tr messaging.Trace) {
			if tr.Inbound != nil {
				outcomes <- tr.Inbound.Outcome
			}
		}))
	if err != nil {
		t.Fatal(err)
	}
	r := &running{Daemon: d, t: t, space: space, log: log, ended: make(chan error, 1)}
	var ctx context.Context
	ctx, r.stop = context.WithCancel(context.Background())
	t.Cleanup(r.stop)
	go func() { r.ended <- d.Run(ctx) }()
	r.waitReady()

	mms := func(url string) {
		t.Helper()
		if _, err := space.Inject(relaytest.SMS{From: person, To: ourNumber, Context: "support", Body: canary, Media: []string{url + "/" + canary + ".exe"}}, relaytest.Target{}); err != nil {
			t.Fatal(err)
		}
	}
	expect := func(fate messaging.Fate, why string) {
		t.Helper()
		select {
		case o := <-outcomes:
			if o.Fate != fate || !strings.Contains(o.Err, why) || strings.Contains(o.Err, canary) {
				t.Errorf("got fate %v, %q; want %v, %q", o.Fate, o.Err, fate, why)
			}
		case <-time.After(30 * time.Second):
			t.Fatalf("nothing became of it\n%s", log)
		}
	}

	r.text("support", "no picture") // nothing is fetched, and nothing made
	r.expectReply("Thank you.")
	expect(messaging.FateDone, "")
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 || asked.Load() > 0 {
		t.Errorf("%v, %v, and the host was asked %d times", left, err, asked.Load())
	}

	mms(host.URL)
	expect(messaging.FateRetry, "503")
	expect(messaging.FateDone, "")
	sum := sha256.Sum256(png)
	got, err := os.ReadFile(filepath.Join(dir, "pictures", hex.EncodeToString(sum[:])+".png"))
	if diff := cmp.Diff(png, got); err != nil || diff != "" {
		t.Errorf("saved: %v (-want +got):\n%s", err, diff)
	}

	mms(private.URL)
	expect(messaging.FateDead, "must not be fetched from: name the host under the allowed ones")
	if inside.Load() > 0 {
		t.Error("a private address was asked")
	}
	if len(r.replies()) > 2 {
		t.Errorf("replies %q, want none to the message that failed", r.replies())
	}

	r.stop()
	if err := <-r.ended; err != nil {
		t.Errorf("Run: %v", err)
	}
	if !strings.Contains(log.String(), "medium saved") {
		t.Errorf("the log does not tell of the file:\n%s", log)
	}
	for _, secret := range []string{canary, host.URL, private.URL, strings.TrimPrefix(private.URL, "http://"), person, ourNumber} {
		if strings.Contains(log.String(), secret) {
			t.Errorf("the log holds %q:\n%s", secret, log)
		}
	}
}

// Retention goes on in the background: what nobody asked for since media.keep goes, the rest
// stays.
func TestOldMediaAreRemoved(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg := DefaultConfig()
		cfg.Media.Dir, cfg.Media.Keep = t.TempDir(), 2*day
		media, err := newMedia(&cfg)
		if err != nil {
			t.Fatal(err)
		}
		file := func(name string, age time.Duration) string {
			path, at := filepath.Join(cfg.Media.Dir, "files", strings.Repeat(name, 64)), time.Now().Add(-age)
			if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(name), 0o600), os.Chtimes(path, at, at)); err != nil {
				t.Fatal(err)
			}
			return path
		}
		old, later, young := file("a", 3*day), file("b", 2*day-30*time.Minute), file("c", 0)
		expect := func(want map[string]bool) {
			t.Helper()
			for path, there := range want {
				if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) == there {
					t.Errorf("%s is there: %v, want %v", filepath.Base(path)[:1], !there, there)
				}
			}
		}
		log := &logBuffer{}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			sweepMedia(ctx, media, slog.New(slog.NewTextHandler(log, nil)))
		}()
		expect(map[string]bool{old: true})
		time.Sleep(pruneFirst + time.Second)
		synctest.Wait()
		expect(map[string]bool{old: false, later: true, young: true})
		time.Sleep(sweepEvery)
		synctest.Wait()
		expect(map[string]bool{later: false, young: true})
		stop()
		<-ended
		if n := strings.Count(log.String(), "old media removed"); n != 2 {
			t.Errorf("logged %d times:\n%s", n, log)
		}
	})
}

func TestMediaDir(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		store StoreURL
		dir   string
		want  string
	}{
		{defaultStore, "", "/var/lib/signpost/media"},
		{"sqlite:///srv/a/b.db", "", "/srv/a/media"},
		{"sqlite:b.db", "", "media"},
		{"postgres://host/name", "", "/var/lib/signpost/media"},
		{"memory:", "", "/var/lib/signpost/media"},
		{"memory:", "/x", "/x"},
	} {
		if got := mediaDir(&Config{Store: tt.store, Media: MediaConfig{Dir: tt.dir}}); got != tt.want {
			t.Errorf("%s with dir %q: got %q, want %q", tt.store, tt.dir, got, tt.want)
		}
	}
	cfg := mustLoad(t, "media: {dir: pictures}\n"+oneContext)
	if filepath.Base(cfg.Media.Dir) != "pictures" {
		t.Errorf("got %q", cfg.Media.Dir)
	}
	restart := mustLoad(t, "media: {dir: pictures, allow: [media.internal]}\n"+oneContext)
	if diff := cmp.Diff(Changes{Restart: []string{"media.allow"}}, Diff(cfg, restart)); diff != "" {
		t.Error(diff)
	}
}
