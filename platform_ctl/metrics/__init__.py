"""The catalogue of metrics, their sources in a home, and the exposition."""
