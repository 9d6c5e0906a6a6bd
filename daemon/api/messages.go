package api

import "net/http"

// messages is GET /v1/messages.
func (a *API) messages(w http.ResponseWriter, r *http.Request) error {
	q, err := parseQuery(r.URL.Query())
	if err != nil {
		return badQuery(err, "")
	}
	return a.search(w, r, q)
}

// message is GET /v1/messages/{id}.
func (a *API) message(w http.ResponseWriter, r *http.Request) error {
	l, err := a.life(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	if err := a.consentIn(r.Context(), l); err != nil {
		return err
	}
	return write(w, l)
}
