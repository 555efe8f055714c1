"""Pipelines: wiring only. Each `*_pipeline.py` is compiled to `compiled/*.yaml`."""
