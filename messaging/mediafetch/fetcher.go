package mediafetch

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/gabriel-vasile/mimetype"
)

// ErrTooLarge is a medium of more than Config.MaxBytes.
var ErrTooLarge = errors.New("the medium is larger than what is fetched")

// StatusError is an answer other than 200.
type StatusError struct{ Code int }

func (e *StatusError) Error() string {
	return fmt.Sprintf("the host of the medium answers %d %s", e.Code, http.StatusText(e.Code))
}

// Temporary reports whether it may help to try again.
func (e *StatusError) Temporary() bool {
	return e.Code >= 500 || e.Code == http.StatusTooManyRequests || e.Code == http.StatusRequestTimeout
}

// Config tunes a Fetcher. The zero value of every field but Dir means its documented
// default.
type Config struct {
	Dir       string        // where the files are; made with mode 0700 by the first fetch
	MaxBytes  int64         // of one medium; 10 MiB
	MaxTotal  int64         // of all files after a Sweep; 1 GiB
	Timeout   time.Duration // of one fetch in all; 30 s
	Redirects int           // at most; 3, and negative for none
	KeepFor   time.Duration // after it was last asked for; 30 days
	// Allow names hosts, or hosts with their port, that may have a private address and any
	// port, as the name or address in the URL says them. None.
	Allow []string
	// Authorize, if set, gives user and password for a host over https. None.
	Authorize func(host string) (user, password string, ok bool)
}

func (c Config) withDefaults() Config {
	if c.MaxBytes <= 0 {
		c.MaxBytes = 10 << 20
	}
	if c.MaxTotal <= 0 {
		c.MaxTotal = 1 << 30
	}
	if c.Timeout <= 0 {
		c.Timeout = 30 * time.Second
	}
	if c.Redirects == 0 {
		c.Redirects = 3
	}
	c.Redirects = max(c.Redirects, 0)
	if c.KeepFor <= 0 {
		c.KeepFor = 30 * 24 * time.Hour
	}
	return c
}

// File is a medium to read. Close it.
type File struct {
	*os.File
	Type   string // as the bytes say, with parameters: image/jpeg, text/plain; charset=utf-8
	Size   int64  // in bytes
	Digest string // SHA-256 of the bytes, in hexadecimal
}

// Filename is a name for a copy of the medium: its digest, with the extension of its type.
// Nothing in it comes from the wire.
func (f *File) Filename() string {
	if m := mimetype.Lookup(f.Type); m != nil {
		return f.Digest + m.Extension()
	}
	return f.Digest
}

// Fetcher fetches media and keeps them. Make one with [New].
type Fetcher struct {
	cfg    Config
	client *http.Client

	mu      sync.Mutex
	flights map[string]*flight // by key of URL
}

// flight is a fetch that several callers may wait for.
type flight struct {
	done chan struct{}
	note note
	err  error
}

// note is what is remembered of a URL.
type note struct {
	Digest string `json:"digest"`
	Type   string `json:"type"`
	Size   int64  `json:"size"`
}

// New makes a Fetcher. It does no I/O.
func New(cfg Config) (*Fetcher, error) {
	cfg = cfg.withDefaults()
	if cfg.Dir == "" {
		return nil, errors.New("media: a directory is needed: set Config.Dir")
	}
	return &Fetcher{cfg: cfg, client: client(cfg), flights: map[string]*flight{}}, nil
}

// Open gives the medium of a URL, from the disk if it is there, else from its host. It
// waits for at most Config.Timeout, or until ctx ends. Callers who ask for the same URL at
// once share one fetch; if the one who fetches gives up, another takes over.
func (f *Fetcher) Open(ctx context.Context, rawURL string) (*File, error) {
	key := hash([]byte(rawURL))
	for {
		if file := f.stored(key); file != nil {
			return file, nil
		}
		fl, mine := f.join(key)
		if mine {
			f.fly(ctx, fl, rawURL, key)
		}
		select {
		case <-fl.done:
		case <-ctx.Done():
			return nil, fmt.Errorf("fetch medium: %w", ctx.Err())
		}
		switch {
		case fl.err == nil:
			return f.open(fl.note)
		case mine || !errors.Is(fl.err, context.Canceled) && !errors.Is(fl.err, context.DeadlineExceeded):
			return nil, fl.err
		}
		// Another caller gave up, which is no reason for this one to.
	}
}

func (f *Fetcher) join(key string) (fl *flight, mine bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if fl := f.flights[key]; fl != nil {
		return fl, false
	}
	fl = &flight{done: make(chan struct{})}
	f.flights[key] = fl
	return fl, true
}

func (f *Fetcher) fly(ctx context.Context, fl *flight, rawURL, key string) {
	defer func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.flights, key)
		close(fl.done)
	}()
	fl.note, fl.err = f.fetch(ctx, rawURL, key)
}

// fetch brings a medium onto the disk.
func (f *Fetcher) fetch(ctx context.Context, rawURL, key string) (note, error) {
	ctx, cancel := context.WithTimeout(ctx, f.cfg.Timeout)
	defer cancel()
	u, err := url.Parse(rawURL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return note{}, fmt.Errorf("fetch medium: no http or https URL: %w", ErrForbidden)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, rawURL, http.NoBody)
	if err != nil {
		return note{}, fmt.Errorf("fetch medium: no URL: %w", ErrForbidden)
	}
	req.Header.Set("User-Agent", "signpost")
	if f.cfg.Authorize != nil && u.Scheme == "https" {
		if user, password, ok := f.cfg.Authorize(u.Hostname()); ok {
			req.SetBasicAuth(user, password)
		}
	}
	if err := f.prepare(); err != nil {
		return note{}, err // before anybody is asked for what could not be kept
	}
	resp, err := f.client.Do(req)
	if err != nil {
		return note{}, fmt.Errorf("fetch medium: %w", plain(err))
	}
	defer resp.Body.Close()
	switch {
	case resp.StatusCode != http.StatusOK:
		return note{}, fmt.Errorf("fetch medium: %w", &StatusError{resp.StatusCode})
	case resp.ContentLength > f.cfg.MaxBytes:
		return note{}, f.tooLarge()
	}
	n, err := f.keep(resp.Body)
	if err != nil {
		return note{}, fmt.Errorf("fetch medium: %w", plain(err))
	}
	return n, f.remember(key, n)
}

// prepare makes the directories.
func (f *Fetcher) prepare() error {
	for _, d := range []string{f.cfg.Dir, filepath.Join(f.cfg.Dir, "urls"), filepath.Join(f.cfg.Dir, "files")} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return fmt.Errorf("media cannot be kept, give them a directory that this process may make and write: %w", err)
		}
	}
	return nil
}

func (f *Fetcher) tooLarge() error {
	return fmt.Errorf("fetch medium: %w: more than %d bytes", ErrTooLarge, f.cfg.MaxBytes)
}

// plain takes the URL, and the address, out of an error of the HTTP client.
func plain(err error) error {
	if ue, ok := errors.AsType[*url.Error](err); ok {
		err = ue.Err
	}
	switch {
	case errors.Is(err, ErrForbidden):
		return ErrForbidden
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return context.DeadlineExceeded
	case errors.Is(err, context.Canceled):
		return context.Canceled
	}
	if op, ok := errors.AsType[*net.OpError](err); ok {
		err = op.Err
	}
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		return errors.New("the host's name cannot be resolved: " + dns.Err)
	}
	return err
}

// What the names of files begin with that are being written.
const (
	halfFile = "fetch-"
	halfNote = "note-"
)

// keep writes a body to a file that is named by its hash.
func (f *Fetcher) keep(body io.Reader) (note, error) {
	tmp, err := os.CreateTemp(f.cfg.Dir, halfFile+"*") // mode 0600
	if err != nil {
		return note{}, err
	}
	defer os.Remove(tmp.Name())
	defer tmp.Close()
	h := sha256.New()
	size, err := io.Copy(io.MultiWriter(tmp, h), io.LimitReader(body, f.cfg.MaxBytes+1))
	switch {
	case err != nil:
		return note{}, err
	case size > f.cfg.MaxBytes:
		return note{}, ErrTooLarge
	}
	if _, err := tmp.Seek(0, io.SeekStart); err != nil {
		return note{}, err
	}
	typ, err := mimetype.DetectReader(tmp)
	if err != nil {
		return note{}, err
	}
	if err := errors.Join(tmp.Sync(), tmp.Close()); err != nil {
		return note{}, err
	}
	n := note{Digest: hex.EncodeToString(h.Sum(nil)), Type: typ.String(), Size: size}
	return n, os.Rename(tmp.Name(), f.path(n.Digest))
}

// remember writes down what a URL led to.
func (f *Fetcher) remember(key string, n note) error {
	data, err := json.Marshal(n)
	if err != nil {
		return err
	}
	tmp, err := os.CreateTemp(f.cfg.Dir, halfNote+"*")
	if err != nil {
		return err
	}
	_, err = tmp.Write(data)
	if err = errors.Join(err, tmp.Close()); err != nil {
		os.Remove(tmp.Name())
		return fmt.Errorf("keep medium: %w", err)
	}
	return os.Rename(tmp.Name(), filepath.Join(f.cfg.Dir, "urls", key))
}

// stored gives the medium of a URL that was fetched before; nil if it is not there.
func (f *Fetcher) stored(key string) *File {
	at := filepath.Join(f.cfg.Dir, "urls", key)
	data, err := os.ReadFile(at)
	if err != nil {
		return nil
	}
	var n note
	if json.Unmarshal(data, &n) != nil {
		return nil
	}
	file, err := f.open(n)
	if err != nil {
		return nil
	}
	now := time.Now()
	os.Chtimes(at, now, now) //nolint:errcheck // it would be swept earlier
	return file
}

func (f *Fetcher) open(n note) (*File, error) {
	if !isHash(n.Digest) {
		return nil, errors.New("keep medium: a note is damaged")
	}
	file, err := os.Open(f.path(n.Digest))
	if err != nil {
		return nil, fmt.Errorf("keep medium: %w", err)
	}
	now := time.Now()
	os.Chtimes(file.Name(), now, now) //nolint:errcheck // it would be swept earlier
	return &File{File: file, Type: n.Type, Size: n.Size, Digest: n.Digest}, nil
}

func (f *Fetcher) path(digest string) string { return filepath.Join(f.cfg.Dir, "files", digest) }

func hash(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
