-- Small values with a time to live, and what a send carries besides its text.

-- +goose Up
CREATE SEQUENCE small_values_versions;
CREATE TABLE small_values (
	bucket     text   COLLATE "C" NOT NULL,
	key        text   COLLATE "C" NOT NULL,
	number     text,            -- the person whom it is about
	data       bytea  NOT NULL,
	expires_at bigint NOT NULL,
	version    bigint NOT NULL, -- no two values ever have the same
	PRIMARY KEY (bucket, key)
) WITH (fillfactor = 85);
CREATE INDEX small_values_expires ON small_values (expires_at);
CREATE INDEX small_values_number  ON small_values (number) WHERE number IS NOT NULL;

ALTER TABLE sends ADD COLUMN callback text;
ALTER TABLE sends ADD COLUMN custom   text;    -- a JSON object
ALTER TABLE sends ADD COLUMN secret   boolean; -- true if nobody may read its text

-- A secret text goes once the platform has it, or it will never leave.
-- +goose StatementBegin
CREATE FUNCTION forget_secret() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	NEW.body := '';
	RETURN NEW;
END $$;
-- +goose StatementEnd
CREATE TRIGGER sends_secret BEFORE INSERT OR UPDATE OF status ON sends FOR EACH ROW
	WHEN (NEW.secret AND NEW.status NOT IN (1, 2, 3)) EXECUTE FUNCTION forget_secret();

-- +goose Down
DROP TRIGGER sends_secret ON sends;
DROP FUNCTION forget_secret();
UPDATE sends SET body = '' WHERE secret;
ALTER TABLE sends DROP COLUMN secret, DROP COLUMN custom, DROP COLUMN callback;
DROP TABLE small_values;
DROP SEQUENCE small_values_versions;
