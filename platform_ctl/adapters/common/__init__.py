"""Vendor glue that both targets share."""
