"""Explains the state of a run or model, compares two runs, and predicts what an edit reruns."""
