// Package api is the local HTTP API over the journal: what came, what was sent and what
// became of it, and an operator's word on what is stuck.
//
//	mux := http.NewServeMux()
//	api.New(api.Config{Store: store, Engine: engine}).Register(mux)
//
// Its one guarantee: it changes nothing but through the engine and the store's own
// maintenance, so that whoever uses it cannot bring a message out of order. It answers
// whoever asks: numbers and texts in full. Who may ask is for the server around it.
//
// API.md describes every path, member and problem.
package api
