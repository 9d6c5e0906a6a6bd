package api

import "net/http"

// Served is a context and the chains that it runs.
type Served struct {
	Name       string   `json:"name"`
	Subscribed bool     `json:"subscribed"`         // the platform has confirmed it
	Handlers   []string `json:"handlers,omitempty"` // of messages, by name, in order; of a context that is made in code none are known
	States     []string `json:"states,omitempty"`   // of delivery states
}

// ServedList are the contexts.
type ServedList struct {
	Contexts []Served `json:"contexts"`
}

// contexts is GET /v1/contexts.
func (a *API) contexts(w http.ResponseWriter, _ *http.Request) error {
	list := ServedList{Contexts: []Served{}}
	if a.cfg.Served != nil {
		list.Contexts = append(list.Contexts, a.cfg.Served()...)
	}
	return write(w, list)
}
