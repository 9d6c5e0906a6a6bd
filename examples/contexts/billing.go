package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/signpost-sms/signpost/contexts"
	"github.com/signpost-sms/signpost/handlers"
	"github.com/signpost-sms/signpost/messaging"
)

// errNoAccount is the error of books for a number that is nobody's.
var errNoAccount = errors.New("no account with this number")

// books are the accounts.
type books interface {
	Balance(ctx context.Context, n messaging.Number) (cents int, err error)
	// File keeps a receipt. The same one may come again, under the same name.
	File(ctx context.Context, n messaging.Number, name string, content io.Reader) error
}

// billing tells balances and takes pictures of receipts.
func (b business) billing(r *contexts.Router) {
	r.Use(
		handlers.Keyword("BALANCE", messaging.HandlerFunc(b.balance)),
		handlers.Keyword("HELP", handlers.Reply("Corner Shop billing: text BALANCE, or a picture of a receipt, or call (202) 555-0144. Reply STOP to end.")),
		b.receipt,
	)
	r.OnMessage(handlers.Reply("Billing here. Text BALANCE, or send a picture of your receipt."))
}

func (b business) balance(ctx context.Context, w messaging.Responder, ev *messaging.Event) error {
	cents, err := b.books.Balance(ctx, ev.From)
	switch {
	case errors.Is(err, errNoAccount):
		w.Reply("There is no account with this number. Text us from the one that you gave us.")
		return nil
	case err != nil:
		return fmt.Errorf("read the balance: %w", err) // tried again later
	}
	w.Reply(fmt.Sprintf("Your balance is $%d.%02d.", cents/100, cents%100))
	return nil
}

// receipt hands the pictures of a message to the bookkeeping and thanks for them; without
// pictures it is passed on. One that cannot be fetched now is fetched later, with the whole
// message: nobody is thanked before, and nobody twice.
func (b business) receipt(next messaging.Handler) messaging.Handler {
	return messaging.HandlerFunc(func(ctx context.Context, w messaging.Responder, ev *messaging.Event) error {
		if ev.Kind != messaging.KindMessage || len(ev.Media) == 0 {
			return next.HandleEvent(ctx, w, ev)
		}
		for i := range ev.Media {
			if err := b.file(ctx, ev, i); err != nil {
				return err
			}
		}
		w.Reply("Thank you, we have your receipt.")
		return nil
	})
}

func (b business) file(ctx context.Context, ev *messaging.Event, i int) error {
	f, err := handlers.OpenMedia(ctx, ev, i)
	if err != nil {
		return err // as it is: it says whether trying again would help
	}
	defer f.Close()
	return b.books.File(ctx, ev.From, f.Filename(), f)
}

// paperBooks are accounts in memory, and a folder for receipts, in the place of yours.
type paperBooks struct {
	cents  map[messaging.Number]int
	folder string
}

// Balance implements books.
func (p paperBooks) Balance(_ context.Context, n messaging.Number) (int, error) {
	cents, ok := p.cents[n]
	if !ok {
		return 0, errNoAccount
	}
	return cents, nil
}

// File implements books.
func (p paperBooks) File(_ context.Context, _ messaging.Number, name string, content io.Reader) error {
	if err := os.MkdirAll(p.folder, 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(p.folder, name), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, content)
	return errors.Join(err, f.Close())
}
