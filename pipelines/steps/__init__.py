"""What each component calls: one step a file, so that editing one re-runs one.

A step takes parameters and KFP artifacts (``.path``, ``.metadata``), calls the
recipe or an operation, and returns its outputs in the component's order.
"""
