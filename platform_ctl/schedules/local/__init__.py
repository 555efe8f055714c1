"""Schedules of this machine: SQLite in the home, and an engine in the foreground."""
