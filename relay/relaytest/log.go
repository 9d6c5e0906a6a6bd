package relaytest

import (
	"time"
)

// logEntry is one message in the platform's message log. It is guarded by
// Server.mu.
type logEntry struct {
	id, messageID, project  string
	from, to, body          string
	media                   []string
	status, direction, kind string
	source, logType         string
	segments                int
	created                 time.Time
	visible                 time.Time // when the log first shows it
	hidden                  bool
	errorCode, errorMessage string
	callback                string
	variables               map[string]string
}

// logState is the part of Server.state about the message log.
type logState struct {
	log     ring[*logEntry]
	logByID *recent[*logEntry]
}

func (s *Server) initLog() {
	s.log.limit = s.cfg.Transcript
	s.logByID = newRecent[*logEntry](s.cfg.Transcript)
}

func kindOf(media []string) string {
	if len(media) > 0 {
		return "mms"
	}
	return "sms"
}

// file completes an entry and files it.
func (s *Server) file(e *logEntry) *logEntry {
	e.created = s.clock.Now()
	e.visible = e.created.Add(s.faults.LogDelay)
	e.hidden = s.faults.LogHidden
	if e.id == "" {
		e.id = s.newID()
	}
	s.log.add(e)
	s.logByID.put(e.id, e)
	return e
}

// logSend files a message that was sent over Relay.
func (s *Server) logSend(r *sendRecord) *logEntry {
	e := &logEntry{
		messageID: r.MessageID, project: r.Project, from: r.From, to: r.To, body: r.Body, media: r.Media,
		status: StateQueued, direction: "outbound", kind: kindOf(r.Media),
		source: "realtime_api", logType: "relay_message", segments: r.Segments,
	}
	if s.faults.LogID == LogIDMessage {
		e.id = r.MessageID
	}
	return s.file(e)
}

// logInbound files a message from a person.
func (s *Server) logInbound(m SMS) {
	s.file(&logEntry{
		messageID: m.ID, project: m.Project, from: m.From, to: m.To, body: m.Body, media: m.Media,
		status: "received", direction: "inbound", kind: kindOf(m.Media),
		source: "realtime_api", logType: "relay_message", segments: m.Segments,
	})
}

// logRank orders the states for the log, which never goes back.
func logRank(state string) int {
	switch state {
	case StateQueued:
		return 1
	case StateInitiated:
		return 2
	case StateSent:
		return 3
	case StateDelivered, StateUndelivered, StateFailed:
		return 4
	}
	return 0
}

// noteState notes a state of a sent message. The first last word stays.
func (s *Server) noteState(e *logEntry, st Step) {
	if e == nil || logRank(st.State) <= logRank(e.status) {
		return
	}
	e.status = st.State
	e.errorCode, e.errorMessage = st.ErrorCode, st.Reason
}
