"""The report of a run as HTML: templates, a style sheet, no script."""
