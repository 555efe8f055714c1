"""Frozen values and pure decisions: no I/O, no vendor SDK, no clock."""
