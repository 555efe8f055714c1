"""Schedules of pipelines as files: checked, planned, applied and triggered."""
