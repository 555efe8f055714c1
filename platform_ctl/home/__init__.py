"""Files, locks, processes and SQLite of this machine."""
