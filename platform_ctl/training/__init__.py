"""Distributed training; the port and its targets."""
