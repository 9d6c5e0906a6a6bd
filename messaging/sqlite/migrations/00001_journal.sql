-- The journal. Times are Unix milliseconds, ids UUIDv7 as 16 bytes, lists JSON; NULL is
-- the zero value. The codes of fate, status, outcome and state are in codes.go.
--
-- Finished rows are in no index that a message meets at work: the partial indexes hold what
-- is unfinished, the others grow at their end, and ids that come in no order are collected
-- in memory and written by the thousand.

-- +goose Up
CREATE TABLE events (
	seq         INTEGER PRIMARY KEY, -- arrival order
	id          TEXT    NOT NULL,
	kind        INTEGER NOT NULL,    -- 1 message, 2 state
	context     TEXT,
	message_id  TEXT,
	from_number TEXT,
	to_number   TEXT,
	body        TEXT,
	media       TEXT,
	segments    INTEGER,
	tags        TEXT,
	state       TEXT,
	reason      TEXT,
	received_at INTEGER NOT NULL,
	sent_at     INTEGER,
	frame       BLOB,
	fate        INTEGER NOT NULL,    -- 0 unfinished, 1 done, 2 dead
	attempt     INTEGER,             -- runs so far that count
	retry_at    INTEGER,
	error       TEXT,
	handler     TEXT,
	finished_at INTEGER,
	sends_from  INTEGER,             -- the sends it decided: their seq, and how many
	sends_count INTEGER,
	attempt_id  BLOB,                -- of a state: the attempt that it speaks of
	early       INTEGER              -- 1 for a state that waits for a report to come
);
CREATE INDEX events_unfinished ON events(seq) WHERE fate = 0;
CREATE INDEX events_attempt    ON events(attempt_id) WHERE attempt_id IS NOT NULL;
CREATE INDEX events_early      ON events(seq) WHERE early = 1;

CREATE TABLE sends (
	seq            INTEGER PRIMARY KEY, -- commit order
	id             BLOB    NOT NULL,
	key            TEXT,    -- NULL if there is none, or if it is in_reply_to#ordinal
	ordinal        INTEGER,
	context        TEXT,
	from_number    TEXT,
	to_number      TEXT,
	body           TEXT,
	media          TEXT,
	tags           TEXT,
	priority       INTEGER,
	category       TEXT,
	not_before     INTEGER,
	expires_at     INTEGER,
	in_reply_to    TEXT,    -- event id
	created_at     INTEGER,
	status         INTEGER NOT NULL,
	reason         TEXT,
	-- The newest attempt. Those before it are in attempts.
	attempt_id     BLOB,
	attempt_number INTEGER,
	claimed_at     INTEGER,
	outcome        INTEGER,
	doubted_at     INTEGER,
	code           TEXT,
	message_id     TEXT,
	state          INTEGER,
	settled        INTEGER  -- 1 once an attempt before the newest was accepted after all
);
CREATE UNIQUE INDEX sends_id      ON sends(id);
CREATE UNIQUE INDEX sends_attempt ON sends(attempt_id) WHERE attempt_id IS NOT NULL;
CREATE INDEX sends_queued         ON sends(not_before, seq) WHERE status = 1;
CREATE INDEX sends_open           ON sends(seq) WHERE status IN (2, 3);

CREATE TABLE attempts (
	id           BLOB    PRIMARY KEY,
	send_seq     INTEGER NOT NULL,
	number       INTEGER NOT NULL,
	claimed_at   INTEGER,
	outcome      INTEGER NOT NULL,
	code         TEXT,
	reason       TEXT,
	message_id   TEXT,
	state        INTEGER
) WITHOUT ROWID;
CREATE INDEX attempts_send ON attempts(send_seq);

-- Where the ids of events, the keys of sends and the platform's ids of messages are found:
-- 16 bytes for each, its hash and (seq << 2 | kind). What a commit adds is a row of ids_tail;
-- when enough has come together it becomes a segment, whose entries lie in rows by the first
-- bits of their hashes, under (segment << 20 | bits). Segments are merged into larger ones.
CREATE TABLE ids_tail (
	serial  INTEGER PRIMARY KEY,
	entries BLOB    NOT NULL
);
CREATE TABLE ids (
	key     INTEGER PRIMARY KEY,
	entries BLOB    NOT NULL
);
CREATE TABLE segments (
	id     INTEGER PRIMARY KEY,
	level  INTEGER NOT NULL,
	newest INTEGER NOT NULL -- when the newest of its entries came
);

-- The newest batch of each owner and what it was told, for a batch that comes again.
CREATE TABLE batches (
	owner        BLOB    PRIMARY KEY,
	id           BLOB    NOT NULL,
	committed_at INTEGER NOT NULL,
	results      BLOB    NOT NULL
) WITHOUT ROWID;

-- Rows that were unfinished when pruning passed them, to be looked at again. Of events or of
-- sends.
CREATE TABLE stragglers (
	of  TEXT    NOT NULL,
	seq INTEGER NOT NULL,
	PRIMARY KEY (of, seq)
) WITHOUT ROWID;

-- Marks that outlive the rows they speak of.
CREATE TABLE marks (
	name  TEXT    PRIMARY KEY,
	value INTEGER NOT NULL
) WITHOUT ROWID;

-- +goose Down
DROP TABLE marks;
DROP TABLE stragglers;
DROP TABLE batches;
DROP TABLE segments;
DROP TABLE ids;
DROP TABLE ids_tail;
DROP TABLE attempts;
DROP TABLE sends;
DROP TABLE events;
