-- What a push service shows beside the text: 1 (lowest) to 5, tags by comma, a page to open.
ALTER TABLE notifications ADD COLUMN priority INTEGER NOT NULL DEFAULT 3;
ALTER TABLE notifications ADD COLUMN tags TEXT NOT NULL DEFAULT '';
ALTER TABLE notifications ADD COLUMN click TEXT NOT NULL DEFAULT '';
