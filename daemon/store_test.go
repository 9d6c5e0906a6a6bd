package daemon

import (
	"log/slog"
	"strings"
	"testing"
)

// "check" accepts no store that "run" would then refuse, and names none.
func TestCheckKnowsTheStoresThatRunCanOpen(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"mysql://host/name", "redis:x", "/var/lib/a.db"} {
		if _, err := openStore(StoreURL(url), slog.New(slog.DiscardHandler)); err == nil {
			continue // this build can
		}
		cfg, found := load(t, "store: "+url+"\n"+oneContext)
		if cfg != nil || len(found) != 1 || found[0].Rule != "bad-store" {
			t.Errorf("%s cannot be opened, and check says %v", url, found)
			continue
		}
		for _, scheme := range []string{"memory:", "sqlite:", "postgres:"} {
			_, opens := stores[strings.TrimSuffix(scheme, ":")]
			if named := strings.Contains(found[0].Mend, scheme); named != opens {
				t.Errorf("%s: named %v, can be opened %v: %s", scheme, named, opens, found[0].Mend)
			}
		}
	}
	for _, example := range storeExamples() {
		mustLoad(t, "store: '"+example+"'\n"+oneContext)
	}
}
