"""The command line: one noun a file; parse, call an operation, render."""
