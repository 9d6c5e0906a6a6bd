package relaytest

import "net/http"

func (s *Server) httpHandler() http.Handler {
	return http.NotFoundHandler()
}

func (s *Server) serveREST(w http.ResponseWriter, r *http.Request) { http.NotFound(w, r) }
