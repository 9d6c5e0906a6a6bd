package relaytest

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"
)

// endpoints is the control API; CONTROL.md describes it with examples.
func (s *Server) endpoints() []endpoint {
	return []endpoint{
		{"GET", "/control/frames", "the transcript; filters after, limit, dir, conn, session, method, event_type; wait=10s polls", s.getFrames},
		{"GET", "/control/sends", "sends; filters after, limit, to, tag; wait polls", s.getSends},
		{"GET", "/control/sessions", "connected sessions", s.getSessions},
		{"GET", "/control/connections", "connections, open and closed", func(r *http.Request) (any, error) { return s.Connections(), queryOf(r).err }},
		{"GET", "/control/stats", "totals, ack latencies and recent reconnect intervals", s.getStats},
		{"GET", "/control/violations", "protocol violations and notices", func(r *http.Request) (any, error) { return s.Violations(), queryOf(r).err }},
		{"POST", "/control/inject", "a text message from a person to one of our numbers", s.postInject},
		{"GET", "/control/handsets/{number}/messages", "texts that reached a telephone; filter after; wait polls", s.getHandset},
		{"POST", "/control/handsets/{number}/messages", "text from a telephone: to, body, media, context", s.postHandset},
		{"POST", "/control/states", "one more state of a send: message_id, to, tag, state, reason, error_code", s.postState},
		{"GET", "/control/faults", "standing faults", func(r *http.Request) (any, error) { return s.Faults(), queryOf(r).err }},
		{"PATCH", "/control/faults", "change the standing faults that are named", s.patchFaults},
		{"PUT", "/control/faults", "replace all standing faults", s.putFaults},
		{"DELETE", "/control/faults", "no standing faults", func(*http.Request) (any, error) { return Faults{}, s.SetFaults(Faults{}) }},
		{"POST", "/control/scripts", "one-shot deviations: upgrades, connects, replies, sends, numbers, rest", s.postScripts},
		{"DELETE", "/control/scripts", "drop unused one-shot deviations", func(*http.Request) (any, error) { s.ClearScripts(); return done, nil }},
		{"POST", "/control/sessions/{session}/drop", "reset the connection", s.onSessions(nil, func(sess *Session, _ any) error { sess.Drop(); return nil })},
		{"POST", "/control/sessions/{session}/silence", "half-open: read, write", s.onSessions(newOf[silence], func(sess *Session, v any) error {
			o := v.(*silence)
			sess.Silence(o.Read, o.Write)
			return nil
		})},
		{"POST", "/control/sessions/{session}/impair", "slow, trickle, fragment", s.onSessions(newOf[Impairment], func(sess *Session, v any) error { sess.Impair(*v.(*Impairment)); return nil })},
		{"POST", "/control/sessions/{session}/close", "close with code and reason", s.onSessions(newOf[closing], func(sess *Session, v any) error {
			o := v.(*closing)
			sess.Close(o.Code, o.Reason)
			return nil
		})},
		{"POST", "/control/sessions/{session}/disconnect", "signalwire.disconnect: restart, close_after, never_close, close_before_reply, keep_events", s.onSessions(newOf[disconnecting], func(sess *Session, v any) error {
			o := v.(*disconnecting)
			sess.Disconnect(o.Restart, o.DisconnectOptions)
			return nil
		})},
		{"POST", "/control/sessions/{session}/ping", "one signalwire.ping", s.onSessions(nil, func(sess *Session, _ any) error { sess.Ping(); return nil })},
		{"POST", "/control/sessions/{session}/authorization", "a new authorization state", s.onSessions(nil, func(sess *Session, _ any) error { sess.PushAuthState(); return nil })},
		{"POST", "/control/sessions/{session}/emit", "a specimen by name", s.onSessions(newOf[emission], func(sess *Session, v any) error { return sess.Emit(v.(*emission).Name) })},
		{"POST", "/control/sessions/{session}/raw", "any text as one message", s.onSessions(newOf[rawText], func(sess *Session, v any) error { sess.SendRaw([]byte(v.(*rawText).Text)); return nil })},
		{"POST", "/control/restart", "reset all connections and forget all sessions", func(*http.Request) (any, error) { s.Restart(); return done, nil }},
		{"PUT", "/control/credentials", "accepted credentials: projects, jwts", s.putCredentials},
		{"GET", "/control/clock", "the space's time", func(r *http.Request) (any, error) { return s.clockNow(), queryOf(r).err }},
		{"POST", "/control/clock", "move the clock ahead: advance", s.postClock},
		{"GET", "/control/magic", "the magic destination numbers", func(r *http.Request) (any, error) { return MagicNumbers(), queryOf(r).err }},
		{"GET", "/control/specimens", "malformed frames and noise by name", func(r *http.Request) (any, error) { return Specimens(), queryOf(r).err }},
	}
}

// Bodies of requests and answers.
type (
	silence struct {
		Read  bool `json:"read"`
		Write bool `json:"write"`
	}
	closing struct {
		Code   int    `json:"code"`
		Reason string `json:"reason"`
	}
	disconnecting struct {
		Restart *bool `json:"restart"`
		DisconnectOptions
	}
	emission struct {
		Name string `json:"name"`
	}
	rawText struct {
		Text string `json:"text"`
	}
	injection struct {
		SMS
		Target string        `json:"target"`
		Wait   time.Duration `json:"wait"`
	}
	scriptSet struct {
		Upgrades []Upgrade            `json:"upgrades"`
		Connects []Connect            `json:"connects"`
		Replies  map[string][]Reply   `json:"replies"`
		Sends    []Outcome            `json:"sends"`
		Numbers  map[string][]Outcome `json:"numbers"`
		Default  *Outcome             `json:"default"`
		REST     []int                `json:"rest"`
	}
	statistics struct {
		Stats
		AckLatency         ackLatency      `json:"ack_latency"` // of the last 10,000
		ReconnectIntervals []time.Duration `json:"reconnect_intervals"`
	}
	ackLatency struct {
		P50 time.Duration `json:"p50"`
		P99 time.Duration `json:"p99"`
		Max time.Duration `json:"max"`
	}
	handsetText struct {
		To      string   `json:"to"`
		Body    string   `json:"body"`
		Media   []string `json:"media"`
		Context string   `json:"context"`
	}
	report struct {
		MessageID string `json:"message_id"`
		To        string `json:"to"`
		Tag       string `json:"tag"`
		State     string `json:"state"`
		Reason    string `json:"reason"`
		ErrorCode string `json:"error_code"`
	}
)

var done = map[string]bool{"ok": true}

func newOf[T any]() any { return new(T) }

// poll calls look until it finds something or the time is up.
func (s *Server) poll(r *http.Request, changed *signal, wait time.Duration, look func() (any, bool)) any {
	ctx, cancel := context.WithTimeout(r.Context(), wait)
	defer cancel()
	for {
		next := changed.wait()
		result, found := look()
		if found || wait == 0 || s.waitOn(ctx, next) != nil {
			return result
		}
	}
}

// shownFrameOf is a frame for the control API.
func shownFrameOf(f Frame) any {
	out := showControl(f).(map[string]any)
	if parsed := redacted(f.Raw); parsed != nil {
		out["body"] = parsed
	} else {
		out["raw"] = f.Raw // base64
	}
	return out
}

func (s *Server) getFrames(r *http.Request) (any, error) {
	q := queryOf(r, "after", "limit", "dir", "conn", "session", "method", "event_type", "wait")
	after, limit, num := q.number("after", 0), int(q.number("limit", 1000)), int(q.number("conn", 0))
	wait := q.wait()
	if q.err != nil {
		return nil, q.err
	}
	keep := func(f Frame) bool {
		return (q.text("dir") == "" || q.text("dir") == string(f.Dir)) && (num == 0 || num == f.Conn) &&
			(q.text("session") == "" || q.text("session") == f.Session) &&
			(q.text("method") == "" || q.text("method") == f.Method) &&
			(q.text("event_type") == "" || q.text("event_type") == f.EventType)
	}
	return s.poll(r, &s.journal.changed, wait, func() (any, bool) {
		out := []any{}
		for _, f := range s.FramesAfter(after) {
			if keep(f) && len(out) < limit {
				out = append(out, shownFrameOf(f))
			}
		}
		return out, len(out) > 0
	}), nil
}

func (s *Server) getSends(r *http.Request) (any, error) {
	q := queryOf(r, "after", "limit", "to", "tag", "wait")
	after, limit := q.number("after", 0), int(q.number("limit", 1000))
	wait := q.wait()
	if q.err != nil {
		return nil, q.err
	}
	return s.poll(r, &s.changed, wait, func() (any, bool) {
		out := []any{}
		for _, send := range s.Sends() {
			if send.Seq > after && len(out) < limit && (q.text("to") == "" || q.text("to") == send.To) &&
				(q.text("tag") == "" || slices.Contains(send.Tags, q.text("tag"))) {
				out = append(out, send)
			}
		}
		return out, len(out) > 0
	}), nil
}

// recentIntervals is how many reconnect intervals the statistics show.
const recentIntervals = 100

func (s *Server) getStats(r *http.Request) (any, error) {
	latencies, intervals := s.AckLatencies(), s.ReconnectIntervals()
	slices.Sort(latencies)
	at := func(share float64) time.Duration {
		if len(latencies) == 0 {
			return 0
		}
		return latencies[int(share*float64(len(latencies)-1))]
	}
	return statistics{
		s.Stats(), ackLatency{at(0.5), at(0.99), at(1)}, intervals[max(0, len(intervals)-recentIntervals):],
	}, queryOf(r).err
}

func (s *Server) getSessions(r *http.Request) (any, error) {
	out := []map[string]any{}
	for _, sess := range s.Sessions() {
		ids := []string{}
		for _, d := range sess.Unacked() {
			ids = append(ids, string(d.EventID()))
		}
		out = append(out, map[string]any{
			"name": sess.Name(), "project": sess.Project(), "conn": sess.Conn(), "contexts": sess.Contexts(), "unacked": ids,
		})
	}
	return out, queryOf(r).err
}

// pick finds the sessions that a path or target names.
func (s *Server) pick(name string) ([]*Session, error) {
	live := s.Sessions()
	switch {
	case name == "all":
		return live, nil
	case name == "current" && len(live) > 0:
		return live[:1], nil
	}
	if sess, ok := s.SessionByName(name); ok {
		return []*Session{sess}, nil
	}
	return nil, &statusError{http.StatusNotFound, fmt.Sprintf("no session %q; use all, current, or a name from GET /control/sessions", name)}
}

// onSessions makes an operation on the sessions named in the path.
func (s *Server) onSessions(fresh func() any, do func(*Session, any) error) func(*http.Request) (any, error) {
	return func(r *http.Request) (any, error) {
		var v any
		if fresh != nil {
			v = fresh()
			if err := body(r, v); err != nil {
				return nil, err
			}
		}
		list, err := s.pick(r.PathValue("session"))
		if err != nil {
			return nil, err
		}
		names := []string{}
		for _, sess := range list {
			if err := do(sess, v); err != nil {
				return nil, err
			}
			names = append(names, sess.Name())
		}
		return map[string]any{"sessions": names}, nil
	}
}

func (s *Server) postInject(r *http.Request) (any, error) {
	var in injection
	if err := body(r, &in); err != nil {
		return nil, err
	}
	target := Target{}
	switch in.Target {
	case "":
	case "all":
		target = All
	case "round_robin":
		target = RoundRobin
	default:
		list, err := s.pick(in.Target)
		if err != nil {
			return nil, &fieldError{"target", err.Error() + ", or all, or round_robin"}
		}
		target = Only(list[0])
	}
	return s.injected(r, in.SMS, target, in.Wait)
}

func (s *Server) injected(r *http.Request, m SMS, target Target, wait time.Duration) (any, error) {
	in, err := s.Inject(m, target)
	if err != nil {
		return nil, err
	}
	if wait > 0 {
		ctx, cancel := context.WithTimeout(r.Context(), min(wait, maxWait))
		defer cancel()
		_ = in.Wait(ctx) // the answer says whether it was acknowledged
	}
	return map[string]any{
		"message_id": in.MessageID, "context": in.Context, "deliveries": len(in.Deliveries), "acked": in.Done(),
	}, nil
}

func (s *Server) getHandset(r *http.Request) (any, error) {
	q := queryOf(r, "after", "wait")
	after, wait := q.number("after", 0), q.wait()
	if q.err != nil {
		return nil, q.err
	}
	h := s.Handset(r.PathValue("number"))
	return s.poll(r, &s.changed, wait, func() (any, bool) {
		texts := h.after(after)
		if texts == nil {
			texts = []Text{}
		}
		return texts, len(texts) > 0
	}), nil
}

func (s *Server) postHandset(r *http.Request) (any, error) {
	var t handsetText
	if err := body(r, &t); err != nil {
		return nil, err
	}
	m := SMS{From: r.PathValue("number"), To: t.To, Body: t.Body, Media: t.Media, Context: t.Context}
	return s.injected(r, m, Target{}, 0)
}

func (s *Server) postState(r *http.Request) (any, error) {
	var in report
	if err := body(r, &in); err != nil {
		return nil, err
	}
	if in.State == "" {
		return nil, &fieldError{"state", "name the state to report, such as delivered"}
	}
	sent, err := s.Report(func(c Send) bool {
		return (in.MessageID == "" || in.MessageID == c.MessageID) && (in.To == "" || in.To == c.To) &&
			(in.Tag == "" || slices.Contains(c.Tags, in.Tag))
	}, Step{State: in.State, Reason: in.Reason, ErrorCode: in.ErrorCode})
	if err != nil {
		return nil, &statusError{http.StatusNotFound, err.Error()}
	}
	return sent, nil
}

func (s *Server) patchFaults(r *http.Request) (any, error) {
	f := s.Faults()
	if err := body(r, &f); err != nil {
		return nil, err
	}
	return f, s.SetFaults(f)
}

func (s *Server) putFaults(r *http.Request) (any, error) {
	var f Faults
	if err := body(r, &f); err != nil {
		return nil, err
	}
	return f, s.SetFaults(f)
}

func (s *Server) postScripts(r *http.Request) (any, error) {
	var set scriptSet
	if err := body(r, &set); err != nil {
		return nil, err
	}
	s.NextUpgrades(set.Upgrades...)
	s.NextConnects(set.Connects...)
	for method, replies := range set.Replies {
		s.NextReplies(method, replies...)
	}
	s.NextSends(set.Sends...)
	for number, outcomes := range set.Numbers {
		s.Carrier().On(number, outcomes...)
	}
	if set.Default != nil {
		s.Carrier().Default(*set.Default)
	}
	s.NextREST(set.REST...)
	return done, nil
}

func (s *Server) putCredentials(r *http.Request) (any, error) {
	var c struct {
		Projects map[string]string `json:"projects"`
		JWTs     []string          `json:"jwts"`
	}
	if err := body(r, &c); err != nil {
		return nil, err
	}
	s.SetCredentials(c.Projects, c.JWTs...)
	return done, nil
}

func (s *Server) clockNow() any { return map[string]time.Time{"now": s.clock.Now()} }

func (s *Server) postClock(r *http.Request) (any, error) {
	var c struct {
		Advance time.Duration `json:"advance"`
	}
	if err := body(r, &c); err != nil {
		return nil, err
	}
	if c.Advance < 0 {
		return nil, &fieldError{"advance", "the clock does not go back"}
	}
	s.clock.Advance(c.Advance)
	return s.clockNow(), nil
}
