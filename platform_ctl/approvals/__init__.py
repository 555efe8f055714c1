"""What a human is asked, bound to digests; the decision, and who is told."""
