"""The rows of a run, with their splits."""

from recipes.eights.recipe import TABLE

extract = TABLE.extract
