"""Katib Experiments: values, checks, progress; the port and its targets."""
