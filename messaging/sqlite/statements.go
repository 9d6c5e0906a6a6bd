package sqlite

type prepared struct {
	to  **stmt
	sql string
}

// statements are all that the writer runs at work.
func (w *writer) statements() []prepared {
	return []prepared{
		{&w.begin, `BEGIN IMMEDIATE`},
		{&w.commit, `COMMIT`},
		{&w.rollback, `ROLLBACK`},

		{&w.findEvent, `SELECT seq, sends_from, sends_count FROM events WHERE seq = ?1 AND id = ?2`},
		{&w.insertEvent, `INSERT INTO events (seq, id, kind, context, message_id, from_number, to_number, body, media, segments, tags,
			state, reason, received_at, sent_at, frame, fate, attempt, retry_at, error, handler, finished_at, sends_from, sends_count, attempt_id, early,
			journaled_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`},
		{&w.settleEvent, `UPDATE events SET fate = ?3, attempt = ?4, retry_at = NULL, error = ?5, handler = ?6, finished_at = ?7, sends_from = ?8, sends_count = ?9
			WHERE seq = ?1 AND id = ?2 AND fate = 0`},
		{&w.retryEvent, `UPDATE events SET attempt = ?3, retry_at = ?4, error = ?5, handler = ?6 WHERE seq = ?1 AND id = ?2 AND fate = 0`},
		{&w.unearly, `UPDATE events SET early = 0, attempt_id = ?2 WHERE seq = ?1`},
		{&w.eventAt, `SELECT ` + eventColumns + ` FROM events e` + eventJoins + ` WHERE e.seq = ?`},
		{&w.revive, `UPDATE events SET fate = 0, attempt = NULL, retry_at = NULL, finished_at = NULL WHERE seq = ? AND fate = 2 AND body IS NOT ''`},
		{&w.drop, `UPDATE events SET fate = 3, finished_at = ?2 WHERE seq = ?1 AND fate = 2`},

		{&w.findKey, `SELECT seq FROM sends WHERE seq = ?1 AND key = ?2`},
		{&w.findReply, `SELECT seq FROM sends WHERE seq >= ?1 AND seq < ?2 AND ordinal = ?3`},
		{&w.sendAt, `SELECT ` + sendColumns + ` FROM sends WHERE seq = ?`},
		{&w.insertSend, `INSERT INTO sends (seq, id, key, ordinal, context, from_number, to_number, body, media, tags, priority, category,
			not_before, expires_at, in_reply_to, created_at, status, reason, attempt_id, attempt_number, claimed_at, outcome, callback, custom, secret)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`},
		{&w.findSend, `SELECT seq, status, attempt_id, in_reply_to, callback IS NOT NULL FROM sends WHERE id = ?`},
		{&w.retire, `INSERT INTO attempts (id, send_seq, number, claimed_at, outcome, code, reason, message_id, state, doubted_at)
			SELECT attempt_id, seq, attempt_number, claimed_at, outcome, code, reason, message_id, state, doubted_at FROM sends WHERE seq = ?`},
		{&w.claim, `UPDATE sends SET status = ?2, reason = NULL, attempt_id = ?3, attempt_number = ?4, claimed_at = ?5, outcome = ?6,
			doubted_at = NULL, code = NULL, message_id = NULL, state = NULL WHERE seq = ?1`},
		{&w.end, `UPDATE sends SET status = ?2, reason = ?3 WHERE seq = ?1`},
		{&w.requeue, `UPDATE sends SET status = 1, not_before = ?2 WHERE seq = ?1 AND body IS NOT ''`},
		{&w.delay, `UPDATE sends SET not_before = ?2, reason = ?3 WHERE seq = ?1`},

		{&w.findAttempt, `SELECT id, seq, in_reply_to, callback IS NOT NULL, status, settled, outcome, state, message_id FROM sends WHERE attempt_id = ?`},
		{&w.findRetired, `SELECT s.id, s.seq, s.in_reply_to, s.callback IS NOT NULL, s.status, s.settled, a.outcome, a.state, a.message_id, s.outcome, s.state
			FROM attempts a JOIN sends s ON s.seq = a.send_seq WHERE a.id = ?`},
		{&w.findMessage, `SELECT attempt_id FROM sends WHERE seq = ?1 AND message_id = ?2`},
		{&w.findRetiredMessage, `SELECT id FROM attempts WHERE send_seq = ?1 AND message_id = ?2`},
		{&w.accept, `UPDATE sends SET status = ?2, outcome = ?3, state = ?4, message_id = ?5, reason = ?6 WHERE seq = ?1`},
		{&w.advance, `UPDATE sends SET status = ?2, state = ?3, reason = coalesce(?4, reason) WHERE seq = ?1`},
		{&w.acceptRetired, `UPDATE attempts SET outcome = ?2, state = ?3, message_id = ?4, reason = coalesce(?5, reason) WHERE id = ?1`},
		{&w.settleSend, `UPDATE sends SET status = ?2, settled = 1 WHERE seq = ?1`},
		{&w.conclude, `UPDATE sends SET status = ?2, outcome = ?3, code = coalesce(?4, code), reason = coalesce(?5, reason),
			doubted_at = coalesce(doubted_at, ?6), not_before = coalesce(?7, not_before) WHERE seq = ?1`},
		{&w.concludeRetired, `UPDATE attempts SET outcome = ?2, code = ?3, reason = ?4 WHERE id = ?1`},

		{&w.findIDs, `SELECT entries FROM ids WHERE key = ?`},
		{&w.insertIDs, `INSERT INTO ids (key, entries) VALUES (?, ?)`},
		{&w.insertTail, `INSERT INTO ids_tail (serial, entries) VALUES (?, ?)`},

		{&w.ledgerEnd, `SELECT seq, hash FROM ledger ORDER BY seq DESC LIMIT 1`},
		{&w.insertEntry, `INSERT INTO ledger (seq, at, number, scope, verb, origin, event_id, ours, context, sent_at, received_at, tier, word, rule,
			actor, note, crossing, changed, opted_out, review, since, before, prev, hash)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`},
		{&w.consentAt, `SELECT ` + standColumns + `, l.changed FROM ledger l WHERE l.seq = ?`},
		{&w.findConsent, `SELECT ` + standColumns + ` FROM consents c CROSS JOIN ledger l ON l.seq = c.seq WHERE c.number = ?1 AND c.scope = ?2`},
		{&w.insertConsent, `INSERT INTO consents (seq, number, scope) VALUES (?, ?, ?) ON CONFLICT (number, scope) DO NOTHING`},
		{&w.moveConsent, `UPDATE consents SET seq = ?2 WHERE seq = ?1`},

		{&w.findValue, `SELECT version FROM small_values WHERE bucket = ?1 AND key = ?2 AND expires_at > ?3`},
		{&w.setValue, `INSERT OR REPLACE INTO small_values (bucket, key, number, data, expires_at) VALUES (?, ?, ?, ?, ?) RETURNING version`},
		{&w.deleteValue, `DELETE FROM small_values WHERE bucket = ?1 AND key = ?2`},

		{&w.findBatch, `SELECT id, results FROM batches WHERE owner = ?`},
		{&w.saveBatch, `INSERT INTO batches (owner, id, committed_at, results) VALUES (?1, ?2, ?3, ?4)
			ON CONFLICT (owner) DO UPDATE SET id = ?2, committed_at = ?3, results = ?4`},
	}
}
