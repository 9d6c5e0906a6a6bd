package mediafetch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// png is the smallest picture.
var png = []byte("\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x06\x00\x00\x00\x1f\x15\xc4\x89")

// host serves media on the loopback, counting the requests.
type host struct {
	*httptest.Server
	hits atomic.Int32
}

func newHost(t *testing.T, h http.HandlerFunc) *host {
	t.Helper()
	s := &host{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.hits.Add(1)
		h(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *host) address() string { return strings.TrimPrefix(s.URL, "http://") }

func newFetcher(t *testing.T, cfg Config, allow ...*host) *Fetcher {
	t.Helper()
	if cfg.Dir == "" {
		cfg.Dir = filepath.Join(t.TempDir(), "media")
	}
	for _, h := range allow {
		cfg.Allow = append(cfg.Allow, h.address())
	}
	f, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func serve(body []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html") // a lie
		w.Write(body)
	}
}

func read(t *testing.T, f *File) []byte {
	t.Helper()
	defer f.Close()
	b, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestOpen(t *testing.T) {
	t.Parallel()
	h := newHost(t, serve(png))
	f := newFetcher(t, Config{}, h)
	for range 3 {
		file, err := f.Open(t.Context(), h.URL+"/a.html")
		if err != nil {
			t.Fatal(err)
		}
		if file.Type != "image/png" || file.Size != int64(len(png)) || len(file.Digest) != 64 {
			t.Errorf("got %s of %d bytes, %q", file.Type, file.Size, file.Digest)
		}
		if got := read(t, file); !bytes.Equal(got, png) {
			t.Errorf("got %q", got)
		}
	}
	if n := h.hits.Load(); n != 1 {
		t.Errorf("fetched %d times", n)
	}
	// Another Fetcher on the same directory, as after a restart, needs no fetch either; the
	// same bytes under another URL take no room.
	g := newFetcher(t, Config{Dir: f.cfg.Dir}, h)
	for _, u := range []string{"/a.html", "/b"} {
		file, err := g.Open(t.Context(), h.URL+u)
		if err != nil {
			t.Fatal(err)
		}
		file.Close()
	}
	if n := h.hits.Load(); n != 2 {
		t.Errorf("fetched %d times, want one for each URL", n)
	}
	if files, err := os.ReadDir(filepath.Join(f.cfg.Dir, "files")); err != nil || len(files) != 1 {
		t.Errorf("%d files of the same bytes; %v", len(files), err)
	}
}

func TestModes(t *testing.T) {
	t.Parallel()
	h := newHost(t, serve(png))
	f := newFetcher(t, Config{}, h)
	file, err := f.Open(t.Context(), h.URL)
	if err != nil {
		t.Fatal(err)
	}
	file.Close()
	seen := 0
	err = filepath.WalkDir(f.cfg.Dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		want := fs.FileMode(0o600)
		if d.IsDir() {
			want = 0o700
		} else {
			seen++
		}
		if got := info.Mode().Perm(); got != want {
			t.Errorf("%s has mode %o, want %o", path, got, want)
		}
		return nil
	})
	if err != nil || seen != 2 {
		t.Errorf("%d files, want the medium and its note; %v", seen, err)
	}
}

func TestPrivateAddressesAreRefused(t *testing.T) {
	t.Parallel()
	h := newHost(t, serve(png))
	port := h.address()[strings.LastIndex(h.address(), ":"):]
	f := newFetcher(t, Config{})
	for _, u := range []string{
		h.URL, "http://localhost" + port, "http://127.1.2.3", "http://[::1]" + port, "http://[::ffff:127.0.0.1]" + port, "http://0.0.0.0" + port,
		"http://10.0.0.1", "http://169.254.169.254/latest/meta-data", "https://192.168.1.1", "http://[fd00::1]", "http://[fe80::1]",
		"http://2130706433/", "file:///etc/passwd", "gopher://127.0.0.1/", "", "http://", "//127.0.0.1", "http://1.1.1.1:22/",
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		file, err := f.Open(ctx, u)
		cancel()
		if err == nil {
			file.Close()
			t.Errorf("%s was fetched", u)
		} else if !errors.Is(err, ErrForbidden) && u != "http://2130706433/" { // a name like any other, or an address
			t.Errorf("%s: got %v, want %v", u, err, ErrForbidden)
		}
	}
	if n := h.hits.Load(); n != 0 {
		t.Errorf("the host was asked %d times", n)
	}
}

func TestPublic(t *testing.T) {
	t.Parallel()
	for addr, want := range map[string]bool{
		"8.8.8.8": true, "1.1.1.1": true, "172.32.0.1": true, "100.63.0.1": true, "2606:4700::1111": true, "2a00:1450::1": true,
		"::ffff:8.8.8.8": true,
		"127.0.0.1":      false, "10.1.2.3": false, "172.16.0.1": false, "172.31.255.255": false, "192.168.0.1": false, "100.64.0.1": false,
		"169.254.169.254": false, "0.0.0.0": false, "224.0.0.1": false, "255.255.255.255": false, "198.18.0.1": false, "203.0.113.9": false,
		"192.0.2.1": false, "::": false, "::1": false, "fe80::1": false, "fe80::1%eth0": false, "fc00::1": false, "fd12::1": false,
		"ff02::1": false, "2001:db8::1": false, "::ffff:10.0.0.1": false, "64:ff9b::a00:1": false, "2002:a00:1::": false, "::7f00:1": false,
		"2001::1": false, "3fff::1": false, "fec0::1": false,
	} {
		if got := public(netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s: got %v, want %v", addr, got, want)
		}
	}
	if public(netip.Addr{}) {
		t.Error("no address is public")
	}
}

func TestRedirects(t *testing.T) {
	t.Parallel()
	inside := newHost(t, serve([]byte("secret of the inside")))
	var h *host
	h = newHost(t, func(w http.ResponseWriter, r *http.Request) {
		switch n, _ := r.URL.Query()["n"]; {
		case r.URL.Path == "/inside":
			http.Redirect(w, r, inside.URL, http.StatusFound)
		case r.URL.Path == "/file":
			w.Header().Set("Location", "file:///etc/passwd")
			w.WriteHeader(http.StatusFound)
		case len(n) == 1 && n[0] != "0":
			if r.Referer() != "" {
				t.Error("the host was told where we came from")
			}
			http.Redirect(w, r, fmt.Sprintf("%s/?n=%c", h.URL, n[0][0]-1), http.StatusFound)
		default:
			w.Write(png)
		}
	})
	f := newFetcher(t, Config{}, h)
	for path, want := range map[string]string{
		"/inside": ErrForbidden.Error(), "/file": ErrForbidden.Error(), "/?n=3": "", "/?n=4": "more than 3 redirects",
	} {
		file, err := f.Open(t.Context(), h.URL+path)
		if err == nil {
			file.Close()
		}
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", path, err, want)
		}
	}
	if n := inside.hits.Load(); n != 0 {
		t.Errorf("the inside was asked %d times", n)
	}
}

func TestNoWayBackFromTLS(t *testing.T) {
	t.Parallel()
	plainHost := newHost(t, serve(png))
	tls := httptest.NewTLSServer(http.RedirectHandler(plainHost.URL, http.StatusFound))
	t.Cleanup(tls.Close)
	f := newFetcher(t, Config{Allow: []string{"127.0.0.1"}})
	f.client.Transport.(*http.Transport).TLSClientConfig = tls.Client().Transport.(*http.Transport).TLSClientConfig
	if _, err := f.Open(t.Context(), tls.URL); !errors.Is(err, ErrForbidden) {
		t.Errorf("got %v", err)
	}
}

func TestAuthorizeOverTLSOnly(t *testing.T) {
	t.Parallel()
	var seen atomic.Int32
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if u, p, ok := r.BasicAuth(); ok && u == "me" && p == "pass" {
			seen.Add(1)
		}
		w.Write(png)
	})
	tls := httptest.NewTLSServer(handler)
	t.Cleanup(tls.Close)
	clear := newHost(t, handler)
	f := newFetcher(t, Config{
		Allow:     []string{"127.0.0.1"},
		Authorize: func(host string) (string, string, bool) { return "me", "pass", host == "127.0.0.1" },
	})
	f.client.Transport.(*http.Transport).TLSClientConfig = tls.Client().Transport.(*http.Transport).TLSClientConfig
	for i, u := range []string{tls.URL, clear.URL} {
		file, err := f.Open(t.Context(), u)
		if err != nil {
			t.Fatal(err)
		}
		file.Close()
		if n := seen.Load(); n != 1 {
			t.Errorf("request %d: the password was sent %d times", i, n)
		}
	}
}

func TestTooLarge(t *testing.T) {
	t.Parallel()
	body := bytes.Repeat([]byte("x"), 1001)
	h := newHost(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/chunked":
			w.(http.Flusher).Flush() // no Content-Length
		case "/announced":
			w.Header().Set("Content-Length", "1001")
			w.(http.Flusher).Flush()
			<-r.Context().Done() // whoever waits for the body waits in vain
			return
		}
		if r.URL.Path == "/fits" {
			w.Write(body[:1000])
			return
		}
		w.Write(body)
	})
	f := newFetcher(t, Config{MaxBytes: 1000, Timeout: 5 * time.Second}, h)
	for _, path := range []string{"/", "/chunked", "/announced"} {
		if _, err := f.Open(t.Context(), h.URL+path); !errors.Is(err, ErrTooLarge) {
			t.Errorf("%s: got %v", path, err)
		}
	}
	file, err := f.Open(t.Context(), h.URL+"/fits")
	if err != nil {
		t.Fatal(err)
	}
	if got := read(t, file); len(got) != 1000 {
		t.Errorf("got %d bytes", len(got))
	}
	for _, dir := range []string{"files", "urls"} {
		if list, err := os.ReadDir(filepath.Join(f.cfg.Dir, dir)); err != nil || len(list) != 1 {
			t.Errorf("%s: %d left over; %v", dir, len(list)-1, err)
		}
	}
	if list, err := os.ReadDir(f.cfg.Dir); err != nil || len(list) != 2 {
		t.Errorf("half a file was left; %v %v", list, err)
	}
}

func TestTimeout(t *testing.T) {
	t.Parallel()
	h := newHost(t, func(w http.ResponseWriter, r *http.Request) {
		w.Write(png)
		w.(http.Flusher).Flush()
		<-r.Context().Done() // never ends by itself
	})
	f := newFetcher(t, Config{Timeout: 50 * time.Millisecond}, h)
	if _, err := f.Open(t.Context(), h.URL); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

func TestStatus(t *testing.T) {
	t.Parallel()
	h := newHost(t, func(w http.ResponseWriter, r *http.Request) {
		var code int
		fmt.Sscanf(r.URL.Path, "/%d", &code)
		w.WriteHeader(code)
	})
	f := newFetcher(t, Config{}, h)
	for code, temporary := range map[int]bool{404: false, 403: false, 204: false, 429: true, 503: true, 408: true} {
		_, err := f.Open(t.Context(), fmt.Sprintf("%s/%d?token=geheim", h.URL, code))
		var se *StatusError
		if !errors.As(err, &se) || se.Code != code || se.Temporary() != temporary {
			t.Errorf("%d: got %v", code, err)
		}
		if err != nil && strings.Contains(err.Error(), "geheim") {
			t.Errorf("the error tells a secret: %v", err)
		}
	}
}

func TestErrorsTellNoURL(t *testing.T) {
	t.Parallel()
	h := newHost(t, serve(png))
	f := newFetcher(t, Config{}, h)
	h.Close()
	_, err := f.Open(t.Context(), h.URL+"/?token=geheim")
	if err == nil || strings.Contains(err.Error(), "geheim") || strings.Contains(err.Error(), h.address()) {
		t.Errorf("got %v", err)
	}
}

func TestNoCompression(t *testing.T) {
	t.Parallel()
	h := newHost(t, func(w http.ResponseWriter, r *http.Request) {
		if enc := r.Header.Get("Accept-Encoding"); enc != "" && enc != "identity" {
			t.Errorf("asked for %s: an answer could unpack to any size", enc)
		}
		w.Write(png)
	})
	file, err := newFetcher(t, Config{}, h).Open(t.Context(), h.URL)
	if err != nil {
		t.Fatal(err)
	}
	file.Close()
}

func TestOneFetchForMany(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	h := newHost(t, func(w http.ResponseWriter, _ *http.Request) {
		<-release
		w.Write(png)
	})
	f := newFetcher(t, Config{}, h)
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			file, err := f.Open(t.Context(), h.URL)
			if err != nil {
				t.Error(err)
				return
			}
			file.Close()
		})
	}
	close(release)
	wg.Wait()
	if n := h.hits.Load(); n != 1 {
		t.Errorf("fetched %d times", n)
	}
}

func TestAnotherTakesOver(t *testing.T) {
	t.Parallel()
	asked := make(chan struct{}, 10)
	release := make(chan struct{})
	h := newHost(t, func(w http.ResponseWriter, r *http.Request) {
		asked <- struct{}{}
		select {
		case <-release:
		case <-r.Context().Done():
			return
		}
		w.Write(png)
	})
	f := newFetcher(t, Config{}, h)
	ctx, giveUp := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		if _, err := f.Open(ctx, h.URL); !errors.Is(err, context.Canceled) {
			t.Errorf("the first: got %v", err)
		}
	})
	<-asked
	wg.Go(func() {
		file, err := f.Open(t.Context(), h.URL)
		if err != nil {
			t.Error("the second:", err)
			return
		}
		file.Close()
	})
	giveUp()
	<-asked
	close(release)
	wg.Wait()
}

func TestSweep(t *testing.T) {
	t.Parallel()
	h := newHost(t, func(w http.ResponseWriter, r *http.Request) { w.Write([]byte("text of " + r.URL.Path)) })
	f := newFetcher(t, Config{KeepFor: time.Hour, MaxTotal: 25}, h)
	now := time.Now()
	for i, age := range []time.Duration{2 * time.Hour, 30 * time.Minute, 20 * time.Minute, 10 * time.Minute} {
		u := fmt.Sprintf("%s/%d", h.URL, i)
		file, err := f.Open(t.Context(), u)
		if err != nil {
			t.Fatal(err)
		}
		at := now.Add(-age)
		for _, p := range []string{f.path(file.Digest), filepath.Join(f.cfg.Dir, "urls", hash([]byte(u)))} {
			if err := os.Chtimes(p, at, at); err != nil {
				t.Fatal(err)
			}
		}
		file.Close()
	}
	half := filepath.Join(f.cfg.Dir, "fetch-dead")
	strangers := []string{"signpost.db", "files/holiday.png", "urls/list"}
	for _, p := range append([]string{"fetch-dead"}, strangers...) {
		p = filepath.Join(f.cfg.Dir, p)
		if err := errors.Join(os.WriteFile(p, png, 0o600), os.Chtimes(p, now.Add(-2*time.Hour), now.Add(-2*time.Hour))); err != nil {
			t.Fatal(err)
		}
	}
	// Ten bytes each: one is too old, and of the others two fit.
	if n, err := f.Sweep(t.Context(), now); n != 2 || err != nil {
		t.Fatalf("removed %d, %v; want 2", n, err)
	}
	if _, err := os.Stat(half); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("half a file of a dead process was kept: %v", err)
	}
	for _, p := range strangers {
		if err := os.Remove(filepath.Join(f.cfg.Dir, p)); err != nil {
			t.Errorf("removed what is not ours: %v", err)
		}
	}
	if notes, err := os.ReadDir(filepath.Join(f.cfg.Dir, "urls")); err != nil || len(notes) != 2 {
		t.Errorf("%d notes were kept of two files; %v", len(notes), err)
	}
	for i, fetched := range []int32{5, 6, 6, 6} {
		file, err := f.Open(t.Context(), fmt.Sprintf("%s/%d", h.URL, i))
		if err != nil {
			t.Fatal(err)
		}
		file.Close()
		if n := h.hits.Load(); n != fetched {
			t.Errorf("/%d: %d fetches in all, want %d", i, n, fetched)
		}
	}
}

func TestForget(t *testing.T) {
	t.Parallel()
	h := newHost(t, serve(png))
	f := newFetcher(t, Config{}, h)
	file, err := f.Open(t.Context(), h.URL)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Forget(h.URL, "https://never.example/fetched"); err != nil {
		t.Fatal(err)
	}
	if got := read(t, file); !bytes.Equal(got, png) {
		t.Error("who was reading could not read on")
	}
	for _, dir := range []string{"files", "urls"} {
		if list, err := os.ReadDir(filepath.Join(f.cfg.Dir, dir)); err != nil || len(list) != 0 {
			t.Errorf("%s: %v %v", dir, list, err)
		}
	}
}

func TestDamagedNote(t *testing.T) {
	t.Parallel()
	h := newHost(t, serve(png))
	f := newFetcher(t, Config{}, h)
	for _, bad := range []string{"", "{", `{"digest":"../../../../etc/passwd"}`, `{"digest":"` + strings.Repeat("0", 64) + `"}`} {
		if err := errors.Join(f.prepare(), os.WriteFile(filepath.Join(f.cfg.Dir, "urls", hash([]byte(h.URL))), []byte(bad), 0o600)); err != nil {
			t.Fatal(err)
		}
		file, err := f.Open(t.Context(), h.URL)
		if err != nil {
			t.Errorf("%q: %v", bad, err)
			continue
		}
		if got := read(t, file); !bytes.Equal(got, png) {
			t.Errorf("%q: got %q", bad, got)
		}
	}
}

func TestNewNeedsADirectory(t *testing.T) {
	t.Parallel()
	if _, err := New(Config{}); err == nil {
		t.Error("no directory was accepted")
	}
}

// The directory appears with the first medium, and where it cannot, nobody is asked for one.
func TestTheDirectoryIsMadeByTheFirstFetch(t *testing.T) {
	t.Parallel()
	h := newHost(t, serve(png))
	dir := filepath.Join(t.TempDir(), "a", "b")
	f := newFetcher(t, Config{Dir: dir}, h)
	if n, err := f.Sweep(t.Context(), time.Now()); n != 0 || err != nil {
		t.Errorf("sweep of nothing: %d, %v", n, err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("made without a need: %v", err)
	}
	file, err := f.Open(t.Context(), h.URL)
	if err != nil {
		t.Fatal(err)
	}
	file.Close()

	blocked := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(blocked, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := newFetcher(t, Config{Dir: blocked}, h).Open(t.Context(), h.URL); err == nil || !strings.Contains(err.Error(), "directory") {
		t.Errorf("a file was accepted as directory: %v", err)
	}
	if n := h.hits.Load(); n != 1 {
		t.Errorf("fetched %d times", n)
	}
}

func TestFilename(t *testing.T) {
	t.Parallel()
	for typ, want := range map[string]string{"image/png": "d.png", "text/plain; charset=utf-8": "d.txt", "application/octet-stream": "d", "../x": "d"} {
		if got := (&File{Type: typ, Digest: "d"}).Filename(); got != want {
			t.Errorf("%s: got %s, want %s", typ, got, want)
		}
	}
}
