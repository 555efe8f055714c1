"""Predict how many commits each repository gets next week."""
