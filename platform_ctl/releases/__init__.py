"""Canary releases: steps, analysis, judgement, replay and skew."""
