"""The vendor side of the ports."""
