package postgres

import "testing"

// TestCommitsWaitForTheDisk: whatever the URL or the server's configuration says.
func TestCommitsWaitForTheDisk(t *testing.T) {
	t.Parallel()
	if asShipped != "on" {
		t.Errorf("synchronous_commit is %q outside of tests", asShipped)
	}
	pc, err := parse("postgres://somebody@127.0.0.1/db?synchronous_commit=local")
	if err != nil {
		t.Fatal(err)
	}
	if got := pc.ConnConfig.RuntimeParams["synchronous_commit"]; got != synchronousCommit {
		t.Errorf("a URL can set synchronous_commit to %q", got)
	}
}
