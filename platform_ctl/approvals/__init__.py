"""Approval requests bound to digests, their decisions, and notifications about them."""
