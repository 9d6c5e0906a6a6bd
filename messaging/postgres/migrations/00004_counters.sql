-- What each daemon has counted for the limits of sending.

-- +goose Up
CREATE SEQUENCE counters_order;
CREATE TABLE counters (
	owner uuid    NOT NULL,
	scope text    COLLATE "C" NOT NULL,
	key   text    COLLATE "C" NOT NULL,
	start bigint  NOT NULL,
	n     integer NOT NULL,
	until bigint  NOT NULL, -- when it stops to matter
	seq   bigint  NOT NULL, -- the order of changes
	PRIMARY KEY (owner, scope, key, start)
) WITH (fillfactor = 85);
CREATE UNIQUE INDEX counters_seq ON counters (seq);
CREATE INDEX counters_until      ON counters (until);

-- +goose Down
DROP TABLE counters;
DROP SEQUENCE counters_order;
