package daemon

import (
	"context"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/signpost-sms/signpost/messaging/postgres"
)

func TestCheckExaminesADatabase(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("needs a PostgreSQL server")
	}
	server, named := os.LookupEnv("SIGNPOST_TEST_POSTGRES")
	if !named {
		server = "postgres://postgres@127.0.0.1:5432/postgres?sslmode=disable"
	}
	conn, err := pgx.Connect(t.Context(), server)
	switch {
	case err != nil && !named:
		t.Skipf("no PostgreSQL server answers: %v; start one, or set SIGNPOST_TEST_POSTGRES to its URL", err)
	case err != nil:
		t.Fatal(err)
	}
	exec := func(ctx context.Context, sql string) {
		t.Helper()
		if _, err := conn.Exec(ctx, sql); err != nil {
			t.Errorf("%s: %v", sql, err)
		}
	}
	schema := "test_" + strings.ReplaceAll(uuid.NewString(), "-", "")
	exec(t.Context(), "CREATE SCHEMA "+schema)
	t.Cleanup(func() {
		exec(context.Background(), "DROP SCHEMA "+schema+" CASCADE")
		_ = conn.Close(context.Background())
	})
	u, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Set("search_path", schema)
	u.RawQuery = q.Encode()

	check := func(code int, want string, more ...string) {
		t.Helper()
		got, out := command(t, t.TempDir(), append([]string{"check", "--store=" + u.String()}, more...)...)
		if got != code || !strings.Contains(out, want) {
			t.Errorf("exit code %d, want %d, and %q in:\n%s", got, code, want, out)
		}
		if strings.Contains(out, "sslmode") {
			t.Errorf("the URL is shown whole:\n%s", out)
		}
	}
	check(ExitConfig, "there is no journal")
	s, err := postgres.Open(t.Context(), u.String(), postgres.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	check(ExitOK, "sound") // while a daemon has it open
	check(ExitOK, `"sound":true`, "--json")
	exec(t.Context(), `INSERT INTO `+schema+`.attempts (id, send_id, number, outcome) VALUES (gen_random_uuid(), gen_random_uuid(), 1, 1)`)
	check(ExitFindings, "1 attempts without their send")
	check(ExitFindings, `"sound":false`, "--json")
}
