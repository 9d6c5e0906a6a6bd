-- The journal, shared by several instances. Times are Unix milliseconds, lists JSON. The
-- codes of fate, status, outcome and state are in codes.go.
--
-- Finished rows are in no index that a message meets at work but those of the ids.

-- +goose Up
CREATE TABLE instances (
	owner       uuid        PRIMARY KEY,
	lease_until timestamptz NOT NULL -- by this server's clock
);

-- Instances that are gone and may have left work.
CREATE TABLE departed (
	owner uuid PRIMARY KEY
);

-- A conversation belongs to one instance while anything of it is unfinished.
CREATE TABLE conversations (
	id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	ours   text   NOT NULL,
	theirs text   NOT NULL,
	owner  uuid   NOT NULL,
	UNIQUE (ours, theirs)
);

CREATE SEQUENCE events_order;
CREATE TABLE events (
	seq          bigint   PRIMARY KEY, -- arrival order; within a conversation, commit order
	id           text     NOT NULL,
	conversation bigint,               -- NULL if it came with its final fate
	holder       uuid,                 -- the instance that had it in memory from the start
	kind         smallint NOT NULL,    -- 1 message, 2 state
	context      text,
	message_id   text,
	from_number  text,
	to_number    text,
	body         text,                 -- empty once it was removed
	media        text,
	segments     integer,
	tags         text,
	state        text,
	reason       text,
	received_at  bigint   NOT NULL,
	sent_at      bigint,
	frame        bytea,
	fate         smallint NOT NULL,    -- 0 unfinished, 1 done, 2 dead, 3 dropped
	attempt      integer,
	retry_at     bigint,
	error        text,
	handler      text,
	journaled_at bigint   NOT NULL,
	finished_at  bigint,
	sends        uuid[],               -- that it decided, in order
	attempt_id   uuid,                 -- of a state: the attempt that it speaks of
	early        boolean               -- true for a state that waits for a report to come
) WITH (fillfactor = 85);
CREATE UNIQUE INDEX events_id       ON events (id);
CREATE INDEX events_unfinished      ON events (conversation, seq) WHERE fate = 0;
CREATE INDEX events_dead            ON events (seq) WHERE fate = 2;
CREATE INDEX events_attempt         ON events (attempt_id) WHERE attempt_id IS NOT NULL;
CREATE INDEX events_message         ON events (message_id) WHERE message_id <> id AND kind = 1;
CREATE INDEX events_early           ON events (message_id, seq) WHERE early;

CREATE SEQUENCE sends_order;
CREATE TABLE sends (
	id           uuid     PRIMARY KEY,
	seq          bigint   NOT NULL, -- commit order
	conversation bigint   NOT NULL,
	key          text,              -- NULL if there is none, or if it is in_reply_to#ordinal and follows from the event
	ordinal      integer,
	context      text,
	from_number  text,
	to_number    text,
	body         text,              -- empty once it was removed
	media        text,
	tags         text,
	priority     smallint NOT NULL,
	category     text,
	not_before   bigint   NOT NULL, -- 0: now
	expires_at   bigint,
	in_reply_to  text,
	created_at   bigint,
	status       smallint NOT NULL,
	reason       text,
	attempt_id   uuid,              -- the newest attempt
	settled      boolean            -- true once an attempt before the newest was accepted after all
) WITH (fillfactor = 85);
CREATE UNIQUE INDEX sends_key ON sends (key) WHERE key IS NOT NULL;
CREATE INDEX sends_seq        ON sends (seq);
CREATE INDEX sends_queued     ON sends (priority, seq) INCLUDE (not_before) WHERE status = 1;
CREATE INDEX sends_live       ON sends (conversation) WHERE status IN (1, 2, 3);

CREATE TABLE attempts (
	id         uuid     PRIMARY KEY,
	send_id    uuid     NOT NULL,
	number     integer  NOT NULL,
	claimed_at bigint,
	outcome    smallint NOT NULL,
	doubted_at bigint,
	code       text,
	reason     text,
	message_id text,
	state      smallint,
	superseded boolean              -- true once there is a newer one
) WITH (fillfactor = 85);
CREATE INDEX attempts_old     ON attempts (send_id) WHERE superseded;
CREATE INDEX attempts_message ON attempts (message_id) WHERE message_id IS NOT NULL;

-- The newest batch of each owner and what it was told, for a batch that comes again.
CREATE TABLE batches (
	owner        uuid   PRIMARY KEY,
	id           uuid   NOT NULL,
	committed_at bigint NOT NULL,
	results      bytea  NOT NULL
) WITH (fillfactor = 50);

-- Rows that were unfinished when pruning passed them, to be looked at again.
CREATE TABLE stragglers (
	of  text   NOT NULL,
	seq bigint NOT NULL,
	PRIMARY KEY (of, seq)
);

CREATE TABLE marks (
	name  text   PRIMARY KEY,
	value bigint NOT NULL
);

-- +goose Down
DROP TABLE marks, stragglers, batches, attempts, sends, events, conversations, departed, instances;
DROP SEQUENCE sends_order, events_order;
