CREATE TABLE home (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
INSERT INTO home VALUES ('created_at', strftime('%Y-%m-%dT%H:%M:%fZ', 'now'));
