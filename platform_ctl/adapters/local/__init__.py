"""This machine: no cluster, nothing but Python."""
