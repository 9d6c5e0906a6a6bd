-- What the questions of people and the order of priorities need.
--
-- Fate 3 is a dead letter that was let go. An empty body, where none is NULL, says that the
-- text was removed.

-- +goose Up
ALTER TABLE events   ADD COLUMN journaled_at INTEGER; -- NULL if version 1 journaled it
ALTER TABLE attempts ADD COLUMN doubted_at   INTEGER;

CREATE INDEX events_dead ON events(seq) WHERE fate = 2;

-- What is queued, as it leaves, and when the deferred ones of it fall due.
DROP INDEX sends_queued;
CREATE INDEX sends_queued ON sends(priority, seq, not_before) WHERE status = 1;
CREATE INDEX sends_later  ON sends(not_before) WHERE status = 1 AND not_before > 0;

UPDATE events SET body = '' WHERE body IS NULL AND media IS NULL AND frame IS NULL AND fate <> 0
	AND seq <= (SELECT value FROM marks WHERE name = 'stripped events');
UPDATE sends SET body = '' WHERE body IS NULL AND media IS NULL AND status NOT IN (1, 2, 3)
	AND seq <= (SELECT value FROM marks WHERE name = 'stripped sends');

-- +goose Down
DROP INDEX sends_later;
DROP INDEX sends_queued;
CREATE INDEX sends_queued ON sends(not_before, seq) WHERE status = 1;
DROP INDEX events_dead;
UPDATE events SET fate = 1 WHERE fate = 3;
ALTER TABLE attempts DROP COLUMN doubted_at;
ALTER TABLE events   DROP COLUMN journaled_at;
