"""Problem code: one folder a use case; read its recipe.py first."""
