"""What came true, once somebody has said so."""

from recipes.eights.table import TABLE

labels = TABLE.labels
