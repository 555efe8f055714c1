"""What recipes share: Iceberg tables, golden sets. A recipe imports it, and may replace any of it.

It has no ``recipe.py``, so it is no recipe. Nothing here knows a recipe by name; whoever calls says
whose table, folder or lock it is about.
"""
