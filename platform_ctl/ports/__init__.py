"""What an operation needs from the outside, as Protocols: one capability a file."""
