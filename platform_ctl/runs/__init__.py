"""Runs of a pipeline: records, ledger, log; the port and its targets."""
