package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

// commits is what Signpost tells about its journal.
type commits struct {
	count   float64
	seconds float64 // all of them together
	rows    float64
}

// scrapeCommits reads the metrics of the running Signpost whose log is given.
func scrapeCommits(log string) (commits, error) {
	url, err := metricsURL(log)
	if err != nil {
		return commits{}, err
	}
	client := http.Client{Timeout: 10 * time.Second}
	resp, err := client.Get(url)
	if err != nil {
		return commits{}, fmt.Errorf("read the metrics of signpost: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return commits{}, fmt.Errorf("read the metrics of signpost: %s answers %s", url, resp.Status)
	}
	return parseCommits(resp.Body)
}

// metricsURL finds where Signpost listens: it chose the port itself, and its log tells. The last process counts.
func metricsURL(log string) (url string, err error) {
	data, err := os.ReadFile(log)
	if err != nil {
		return "", fmt.Errorf("look for the address of the metrics: %w", err)
	}
	for line := range bytes.Lines(data) {
		var entry struct{ Msg, URL string }
		if json.Unmarshal(line, &entry) == nil && entry.Msg == "local HTTP endpoints" {
			url = entry.URL + "/metrics"
		}
	}
	if url == "" {
		return "", errors.New("the log of signpost names no address of its metrics")
	}
	return url, nil
}

// parseCommits picks the figures of the journal out of the metrics.
func parseCommits(metrics io.Reader) (c commits, err error) {
	wanted := map[string]*float64{
		"signpost_journal_commit_seconds_count": &c.count,
		"signpost_journal_commit_seconds_sum":   &c.seconds,
		"signpost_journal_batch_rows_sum":       &c.rows,
	}
	lines := bufio.NewScanner(metrics)
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), " ")
		field, ok := wanted[name]
		if !ok {
			continue
		}
		if *field, err = strconv.ParseFloat(value, 64); err != nil {
			return c, fmt.Errorf("read the metric %s: %w", name, err)
		}
		delete(wanted, name)
	}
	if err := lines.Err(); err != nil {
		return c, fmt.Errorf("read the metrics of signpost: %w", err)
	}
	for name := range wanted {
		return c, fmt.Errorf("the metrics of signpost have no %s", name)
	}
	return c, nil
}
