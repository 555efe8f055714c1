"""What each component calls: one step a file, so that editing one re-runs one.

A step is the same for every recipe: the component gives it the recipe's
functions and values first, then parameters and KFP artifacts (``.path``,
``.metadata``). It calls them or an operation, and returns its outputs in the
component's order.
"""
