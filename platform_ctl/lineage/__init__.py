"""OpenLineage events of runs, their outbox and the graph that is read back."""
