"""The rows of a run, with their splits."""

from recipes.eights.table import TABLE

extract = TABLE.extract
