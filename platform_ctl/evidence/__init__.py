"""Writes, verifies and reproduces the evidence pack of a promoted model."""
