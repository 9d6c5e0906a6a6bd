-- The ledger of consent, and where each number stands.

-- +goose Up

-- A line for each change. It is only ever added to, and no retention reaches it.
CREATE TABLE ledger (
	seq         INTEGER PRIMARY KEY, -- 1, 2, 3 ...
	at          INTEGER NOT NULL,
	number      TEXT    NOT NULL,    -- the person's
	scope       TEXT    NOT NULL,    -- '' is everything of ours
	verb        TEXT    NOT NULL,
	origin      TEXT,
	event_id    TEXT,
	ours        TEXT,
	context     TEXT,
	sent_at     INTEGER,
	received_at INTEGER,
	tier        TEXT,
	word        TEXT,
	rule        TEXT,
	actor       TEXT,
	note        TEXT,
	crossing    BLOB,                -- ids of attempts, 16 bytes each
	changed     INTEGER,             -- 1 if it altered where the number stands
	opted_out   INTEGER,             -- where the number stands in the scope after it
	review      INTEGER,
	since       INTEGER,             -- when one of these two last changed
	before      INTEGER,             -- the line before it about the number in the scope
	prev        BLOB    NOT NULL,    -- the hash of the line before it in the ledger
	hash        BLOB    NOT NULL
);

-- +goose StatementBegin
CREATE TRIGGER ledger_update BEFORE UPDATE ON ledger BEGIN
	SELECT raise(ABORT, 'the ledger of consent is only ever added to');
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER ledger_delete BEFORE DELETE ON ledger BEGIN
	SELECT raise(ABORT, 'the ledger of consent is only ever added to');
END;
-- +goose StatementEnd

-- The last line about each number in each scope, which says where it stands.
CREATE TABLE consents (
	seq    INTEGER PRIMARY KEY,
	number TEXT NOT NULL,
	scope  TEXT NOT NULL
);
CREATE UNIQUE INDEX consents_number ON consents(number, scope);

-- +goose Down
DROP TABLE consents;
DROP TABLE ledger;
