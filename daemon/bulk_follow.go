package daemon

import (
	"context"
	"encoding/csv"
	"fmt"
	"io"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/signpost-sms/signpost/daemon/api"
	"github.com/signpost-sms/signpost/messaging"
)

const (
	// jobEvery is how often a job is asked how far it is.
	jobEvery = 2 * time.Second
	// lastWordWithin is how long delivery states are waited for once everything has left:
	// some carriers send none.
	lastWordWithin = time.Minute
)

// left counts the rows of a job that need not be waited for: those that have left or never
// will, and those about which nothing more will be said.
func left(counts map[messaging.Status]int64) (left, final int64) {
	for status, n := range counts {
		switch {
		case status.Terminal():
			left, final = left+n, final+n
		case status.Accepted(), status == messaging.StatusInDoubt: // which "signpost doubts" is about
			left += n
		}
	}
	return left, final
}

// follow waits until every row of the job has left, and for results until the last word about
// each is known, and writes those.
func (b *bulk) follow(ctx context.Context, d *remote, sum *sent, list *bulkList) error {
	want := int64(sum.Taken + sum.Repeated)
	bar := b.c.progress("rows left").withLines()
	defer bar.clear()
	var allLeft time.Time
	tick := time.NewTicker(jobEvery)
	defer tick.Stop()
	for {
		var r api.JobReport
		if err := d.get(ctx, "/v1/bulk/"+url.PathEscape(sum.Job), nil, &r); err != nil {
			return b.leave(sum, err)
		}
		gone, final := left(r.Counts)
		bar.show(api.Progress{Done: min(gone, want), Total: want})
		if gone >= want && allLeft.IsZero() {
			allLeft = time.Now()
		}
		switch {
		case gone < want:
		case final >= want, b.results == "", time.Since(allLeft) > lastWordWithin:
			bar.clear()
			return b.writeResults(ctx, d, sum, list)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return b.leave(sum, exitf(ExitUnavailable, "interrupted"))
		}
	}
}

// leave says that the job goes on without us.
func (b *bulk) leave(sum *sent, err error) error {
	return withExit(ExitCode(err), fmt.Errorf("the rows are taken and go on without this command: %w; for the results run it again, or:  signpost bulk results %s", err, sum.Job))
}

// writeResults writes the results to a new file.
func (b *bulk) writeResults(ctx context.Context, d *remote, sum *sent, list *bulkList) error {
	if b.results == "" {
		return nil
	}
	results, err := readResults(ctx, d, sum.Job)
	if err != nil {
		return b.leave(sum, err)
	}
	for _, f := range list.bad {
		results = append(results, api.RowResult{Row: f.Row, Phone: f.Phone, Error: fmt.Sprintf("line %d: %s", f.Line, f.Problem)})
	}
	file, err := os.OpenFile(b.results, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return b.leave(sum, exitf(ExitUnavailable, "write the results: %w", err))
	}
	err = writeCSV(file, results)
	if closed := file.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return b.leave(sum, exitf(ExitUnavailable, "write the results: %w", err))
	}
	sum.Results = b.results
	return nil
}

// readResults reads what became of every row of a job, in the order of the rows.
func readResults(ctx context.Context, d *remote, job string) (all []api.RowResult, err error) {
	q := url.Values{"limit": {strconv.Itoa(pageMost)}}
	for {
		var p api.RowPage
		if err := d.get(ctx, "/v1/bulk/"+url.PathEscape(job)+"/results", q, &p); err != nil {
			return nil, err
		}
		all = append(all, p.Results...)
		if !p.More {
			break
		}
		q.Set("before", p.Cursor)
	}
	return all, nil
}

// writeCSV writes results in the order of the rows.
func writeCSV(to io.Writer, results []api.RowResult) error {
	slices.SortStableFunc(results, func(a, b api.RowResult) int { return int(a.Row - b.Row) })
	w := csv.NewWriter(to)
	_ = w.Write([]string{"phone", "success", "message_id", "error", "status", "row"}) // Error tells
	for _, r := range results {
		_ = w.Write([]string{r.Phone, strconv.FormatBool(r.Success), r.MessageID, r.Error, string(r.Status), strconv.FormatInt(r.Row, 10)})
	}
	w.Flush()
	return w.Error()
}

func (c *cli) bulkListCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List the jobs, the newest first",
		Example: "  signpost bulk list",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			d, err := c.remote()
			if err != nil {
				return err
			}
			var list api.JobList
			if err := d.get(cmd.Context(), "/v1/bulk", nil, &list); err != nil {
				return err
			}
			list.Jobs = slices.DeleteFunc(list.Jobs, func(j api.Job) bool { return strings.HasPrefix(j.Name, previewPrefix) })
			for _, j := range list.Jobs {
				if c.asJSON {
					if err := c.printJSON(j); err != nil {
						return err
					}
					continue
				}
				c.printf("%s  %-9s %-12s %s\n", j.CreatedAt.Local().Format("2006-01-02 15:04"), j.State, j.Category, j.Name)
			}
			if len(list.Jobs) == 0 && !c.asJSON {
				_, _ = fmt.Fprintln(c.errw, "signpost: no jobs")
			}
			return nil
		},
	}
	c.jsonFlag(cmd)
	return cmd
}

func (c *cli) bulkStatusCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "status JOB",
		Short:   "Show how far a job is",
		Example: "  signpost bulk status buyers-3f9a0c21b7de\n  signpost bulk status buyers-3f9a0c21b7de --json | jq .counts.delivered",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			d, err := c.remote()
			if err != nil {
				return err
			}
			var r api.JobReport
			if err := d.get(cmd.Context(), "/v1/bulk/"+url.PathEscape(args[0]), nil, &r); err != nil {
				return err
			}
			if c.asJSON {
				return c.printJSON(r)
			}
			gone, _ := left(r.Counts)
			c.printf("%s is %s: %d of %d rows have left or will not\n", r.Name, r.State, gone, r.Rows)
			for _, s := range jobStatuses {
				if n := r.Counts[s]; n > 0 {
					c.printf("  %-12s %d\n", s, n)
				}
			}
			return nil
		},
	}
	c.jsonFlag(cmd)
	return cmd
}

// jobStatuses are the statuses in the order in which a row has them.
var jobStatuses = []messaging.Status{
	messaging.StatusQueued, messaging.StatusSending, messaging.StatusInDoubt, messaging.StatusAccepted, messaging.StatusSent, messaging.StatusDelivered,
	messaging.StatusUndelivered, messaging.StatusFailed, messaging.StatusSuppressed, messaging.StatusExpired, messaging.StatusCancelled, messaging.StatusUnknown,
}

func (c *cli) bulkResultsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "results JOB",
		Short: "Print what became of each row, as CSV",
		Long: `Print what has become of each row of a job until now, as CSV with phone, success,
message_id, error, status and row. With --json each row is a line of JSON.`,
		Example: "  signpost bulk results buyers-3f9a0c21b7de > sent.csv",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			d, err := c.remote()
			if err != nil {
				return err
			}
			results, err := readResults(cmd.Context(), d, args[0])
			if err != nil {
				return err
			}
			if !c.asJSON {
				return writeCSV(c.out, results)
			}
			slices.SortStableFunc(results, func(a, b api.RowResult) int { return int(a.Row - b.Row) })
			for _, r := range results {
				if err := c.printJSON(r); err != nil {
					return err
				}
			}
			return nil
		},
	}
	c.jsonFlag(cmd)
	return cmd
}

// bulkTurnCommand is pause, resume or cancel.
func (c *cli) bulkTurnCommand(verb, short, said string) *cobra.Command {
	cmd := &cobra.Command{
		Use:     verb + " JOB",
		Short:   short,
		Long:    short + ". The running daemon is asked.\nExit codes: 0 done, 1 there is no such job, or it is cancelled, 69 no daemon answers.",
		Example: "  signpost bulk " + verb + " buyers-3f9a0c21b7de",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			d, err := c.remote()
			if err != nil {
				return err
			}
			var job api.Job
			if err := d.post(cmd.Context(), "/v1/bulk/"+url.PathEscape(args[0])+"/"+verb, nil, &job); err != nil {
				return err
			}
			if c.asJSON {
				return c.printJSON(job)
			}
			c.printf(said+"\n", job.Name)
			return nil
		},
	}
	c.jsonFlag(cmd)
	return cmd
}
