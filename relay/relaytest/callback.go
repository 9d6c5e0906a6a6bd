package relaytest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
)

// maxCallbacks bounds the status callbacks that wait for their endpoint; later
// ones are dropped, as nobody reads them anyway.
const maxCallbacks = 1000

// callback is one POST to a status_callback URL.
type callback struct {
	url  string
	body map[string]any
}

// callBack queues a status callback for a state, if the message asked for them.
func (s *Server) callBack(e *logEntry, st Step) {
	if e == nil || e.callback == "" || s.cfg.Callbacks == nil {
		return
	}
	body := map[string]any{
		"id": e.id, "project_id": e.project, "status": st.State, "to": e.to, "from": e.from, "body": e.body,
		"number_of_segments": e.segments, "timestamp": wholeSecond(s.clock.Now()),
		"error_code": orNull(st.ErrorCode), "error_message": orNull(st.Reason),
	}
	if len(e.variables) > 0 {
		body["custom_variables"] = e.variables
	}
	select {
	case s.callbacks <- callback{e.callback, body}:
	default:
		s.cfg.Logger.Warn("status callback dropped", "waiting", maxCallbacks)
	}
}

// postCallbacks posts them one after the other, so that their order holds.
func (s *Server) postCallbacks() {
	ctx, cancel := context.WithCancel(context.Background())
	s.wg.Go(func() {
		<-s.done
		cancel()
	})
	for {
		select {
		case cb := <-s.callbacks:
			s.post(ctx, cb)
		case <-s.done:
			return
		}
	}
}

func (s *Server) post(ctx context.Context, cb callback) {
	data, err := json.Marshal(cb.body)
	if err != nil {
		return // a map of strings and numbers always encodes
	}
	// The URL may hold a secret, so errors are logged without it.
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, cb.url, bytes.NewReader(data))
	if err != nil {
		s.cfg.Logger.Warn("status callback has a bad URL")
		return
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := s.cfg.Callbacks.Do(req)
	if err != nil {
		var reason *url.Error
		if errors.As(err, &reason) {
			err = reason.Err
		}
		s.cfg.Logger.Warn("status callback not posted", "err", err)
		return
	}
	_ = resp.Body.Close()
}
