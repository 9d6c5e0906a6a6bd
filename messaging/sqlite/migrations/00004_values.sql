-- Small values with a time to live, and what a send carries besides its text.

-- +goose Up

-- AUTOINCREMENT, since no version is given twice, deleted ones included.
CREATE TABLE small_values (
	version    INTEGER PRIMARY KEY AUTOINCREMENT,
	bucket     TEXT    NOT NULL,
	key        TEXT    NOT NULL,
	number     TEXT,    -- the person whom it is about
	data       BLOB    NOT NULL,
	expires_at INTEGER NOT NULL
);
CREATE UNIQUE INDEX small_values_key ON small_values(bucket, key);
CREATE INDEX small_values_expires    ON small_values(expires_at);
CREATE INDEX small_values_number     ON small_values(number) WHERE number IS NOT NULL;

ALTER TABLE sends ADD COLUMN callback TEXT;
ALTER TABLE sends ADD COLUMN custom   TEXT;    -- a JSON object
ALTER TABLE sends ADD COLUMN secret   INTEGER; -- 1 if nobody may read its text

-- A secret text goes once the platform has it, or it will never leave.
-- +goose StatementBegin
CREATE TRIGGER sends_secret AFTER UPDATE OF status ON sends WHEN new.secret = 1 AND new.status NOT IN (1, 2, 3) AND new.body IS NOT '' BEGIN
	UPDATE sends SET body = '' WHERE seq = new.seq;
END;
-- +goose StatementEnd

-- +goose Down
DROP TRIGGER sends_secret;
UPDATE sends SET body = '' WHERE secret = 1;
ALTER TABLE sends DROP COLUMN secret;
ALTER TABLE sends DROP COLUMN custom;
ALTER TABLE sends DROP COLUMN callback;
DROP TABLE small_values;
