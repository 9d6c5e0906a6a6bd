package daemon

import (
	"log/slog"
	"slices"
	"strings"

	"github.com/signpost-sms/signpost/messaging"
	"github.com/signpost-sms/signpost/messaging/memory"
)

// stores are the journals that this build can open, by the scheme of the store's URL.
var stores = map[string]func(name StoreURL, log *slog.Logger) (messaging.Store, error){
	"memory": openMemory,
}

// openStore opens the journal that the configuration names.
func openStore(name StoreURL, log *slog.Logger) (messaging.Store, error) {
	open, ok := stores[name.Scheme()]
	if !ok {
		return nil, exitf(ExitConfig, "store: this build knows %s and not %q; take one of those", knownStores(), name.Scheme()+":")
	}
	return open(name, log)
}

func openMemory(_ StoreURL, log *slog.Logger) (messaging.Store, error) {
	log.Warn("the store is memory: everything is lost when the process ends, acknowledged messages included; good for trying things out, not for people who wait for an answer")
	return memory.New(memory.Config{}), nil
}

func knownStores() string {
	var names []string
	for scheme := range stores {
		names = append(names, scheme+":")
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}
