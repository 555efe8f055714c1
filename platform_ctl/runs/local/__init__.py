"""Interprets compiled KFP v2 IR on this machine. Start reading at ``runs.py``."""
