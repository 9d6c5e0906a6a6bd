-- The ledger of consent, and where each number stands.

-- +goose Up

-- A line for each change. It is only ever added to, and no retention reaches it.
CREATE TABLE ledger (
	seq         bigint  PRIMARY KEY, -- 1, 2, 3 ... in the order of the commits
	at          bigint  NOT NULL,
	number      text    COLLATE "C" NOT NULL, -- the person's
	scope       text    COLLATE "C" NOT NULL, -- '' is everything of ours
	verb        text    NOT NULL,
	origin      text,
	event_id    text,
	ours        text,
	context     text,
	sent_at     bigint,
	received_at bigint,
	tier        text,
	word        text,
	rule        text,
	actor       text,
	note        text,
	crossing    uuid[],              -- attempts
	changed     boolean NOT NULL,    -- whether it altered where the number stands
	opted_out   boolean NOT NULL,    -- where the number stands in the scope after it
	review      boolean NOT NULL,
	since       bigint,              -- when one of these two last changed
	prev        bytea   NOT NULL,    -- the hash of the line before it
	hash        bytea   NOT NULL
);
CREATE INDEX ledger_number ON ledger (number, seq);

-- +goose StatementBegin
CREATE FUNCTION ledger_only_grows() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	RAISE 'the ledger of consent is only ever added to' USING ERRCODE = 'restrict_violation';
END $$;
-- +goose StatementEnd
CREATE TRIGGER ledger_only_grows BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger FOR EACH STATEMENT EXECUTE FUNCTION ledger_only_grows();

-- What the last line about each number in each scope says.
CREATE TABLE consents (
	number    text    COLLATE "C" NOT NULL,
	scope     text    COLLATE "C" NOT NULL,
	opted_out boolean NOT NULL,
	review    boolean NOT NULL,
	since     bigint,
	seq       bigint  NOT NULL, -- of that line
	PRIMARY KEY (number, scope)
);
CREATE UNIQUE INDEX consents_seq ON consents (seq);

-- A person's conversations, in which a change of consent looks for attempts under way.
CREATE INDEX conversations_theirs ON conversations (theirs);

-- +goose Down
DROP INDEX conversations_theirs;
DROP TABLE consents, ledger;
DROP FUNCTION ledger_only_grows;
