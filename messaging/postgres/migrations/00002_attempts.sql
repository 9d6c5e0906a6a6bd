-- Attempts go with their sends. These were left when their sends went.

-- +goose Up
DELETE FROM attempts a WHERE NOT EXISTS (SELECT 1 FROM sends s WHERE s.id = a.send_id);

-- +goose Down
