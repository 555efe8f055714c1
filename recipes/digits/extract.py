"""The rows of a run, with their splits."""

from recipes.digits.table import TABLE

extract = TABLE.extract
