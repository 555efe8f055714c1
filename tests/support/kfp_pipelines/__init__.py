"""Pipelines that the orchestrator's tests compile and run, and kfp.local as their oracle."""
