package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// prepared are the clients of a scenario that needs others than the usual ones.
type prepared struct {
	clients []client
	remove  func() error // what was made for them; nil if nothing
}

// onFinished makes clients on an empty journal and on filled ones of every store.
func onFinished(ctx context.Context, b *bench, clients []client) (p prepared, err error) {
	dir, err := os.MkdirTemp(b.scratch, "filled-")
	if err != nil {
		return p, fmt.Errorf("make a directory for the filled journals: %w", err)
	}
	removes := []func() error{func() error { return os.RemoveAll(dir) }}
	p.remove = func() (err error) {
		for _, remove := range removes {
			err = errors.Join(err, remove())
		}
		return err
	}
	for _, c := range clients {
		fmt.Fprintf(b.progress, "finished: filling a journal with %d messages, %s\n", b.opts.finished, c.name)
		empty := c
		empty.journal = b.fresh(c.store + ":")
		filled := c
		filled.name, filled.base = c.name+", filled", c.name
		p.clients = append(p.clients, empty)
		if c.store == "postgres" {
			j, err := b.filledSchema(ctx)
			if j.drop != nil {
				removes = append(removes, j.drop)
			}
			if err != nil {
				return p, errors.Join(err, p.remove())
			}
			filled.journal = func(context.Context, string) (journal, error) { return journal{url: j.url}, nil }
			p.clients = append(p.clients, filled)
			continue
		}
		busy, rested, err := b.filledFiles(ctx, dir)
		if err != nil {
			return p, errors.Join(err, p.remove())
		}
		just := filled
		just.name = c.name + ", just filled"
		just.journal, filled.journal = copyOf(busy), copyOf(rested)
		p.clients = append(p.clients, just, filled)
	}
	return p, nil
}

// filledFiles makes a SQLite journal of finished messages, as the last commit left it and when the store's work in the
// background is done.
func (b *bench) filledFiles(ctx context.Context, dir string) (busy, rested string, err error) {
	busy, rested = filepath.Join(dir, "busy.db"), filepath.Join(dir, "rested.db")
	if err := b.runJournal(ctx, "fill", "-store", "sqlite://"+busy, "-n", fmt.Sprint(b.opts.finished)); err != nil {
		return busy, rested, err
	}
	if err := copyFile(busy, rested); err != nil {
		return busy, rested, err
	}
	return busy, rested, b.runJournal(ctx, "rest", "-store", "sqlite://"+rested)
}

// filledSchema makes a PostgreSQL journal of finished messages. All rounds use it, and each adds its own.
func (b *bench) filledSchema(ctx context.Context) (j journal, err error) {
	j, err = b.newSchema(ctx, fmt.Sprintf("signpost_bench_%d_filled", os.Getpid()))
	if err != nil {
		return j, err
	}
	if err := b.runJournal(ctx, "fill", "-store", j.url, "-n", fmt.Sprint(b.opts.finished)); err != nil {
		return j, err
	}
	return j, b.runJournal(ctx, "rest", "-store", j.url)
}

// copyOf makes a copy of a SQLite journal for each run.
func copyOf(file string) func(ctx context.Context, dir string) (journal, error) {
	return func(_ context.Context, dir string) (journal, error) {
		to := filepath.Join(dir, "signpost.db")
		return journal{url: "sqlite://" + to}, copyFile(file, to)
	}
}

// copyFile copies a SQLite database that nobody has open. The copy is on the disk when it returns, so that the commits of
// the run do not wait for it.
func copyFile(from, to string) (err error) {
	if info, err := os.Stat(from + "-wal"); err == nil && info.Size() > 0 {
		return fmt.Errorf("copy %s: it was not closed in order, and part of it is in %s-wal", from, from)
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("copy a journal: %w", err)
	}
	src, err := os.Open(from)
	if err != nil {
		return fmt.Errorf("copy a journal: %w", err)
	}
	defer src.Close()
	dst, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("copy a journal: %w", err)
	}
	defer func() { err = errors.Join(err, dst.Close()) }()
	if _, err := io.Copy(dst, src); err != nil {
		return fmt.Errorf("copy a journal: %w", err)
	}
	if err := dst.Sync(); err != nil {
		return fmt.Errorf("copy a journal: %w", err)
	}
	return nil
}

// withSlowHandler makes clients whose handler takes a millisecond.
func withSlowHandler(ctx context.Context, b *bench, clients []client) (p prepared, err error) {
	program, err := b.product(ctx, "slow")
	if err != nil {
		return p, err
	}
	for _, c := range clients {
		c.start = startSignpost(program, configuration())
		p.clients = append(p.clients, c)
	}
	return p, nil
}

// withShortRetention makes clients that keep what is finished for half a minute.
func withShortRetention(ctx context.Context, b *bench, clients []client) (p prepared, err error) {
	program, err := b.product(ctx, "forgetful")
	if err != nil {
		return p, err
	}
	for _, c := range clients {
		if c.store != "" {
			c.start = startSignpost(program, configuration(replying))
			p.clients = append(p.clients, c)
		}
	}
	return p, nil
}
