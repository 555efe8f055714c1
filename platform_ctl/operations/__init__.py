"""One verb a file; ports come in as arguments."""
