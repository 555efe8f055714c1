"""The pixels of an image that is asked about by its name."""

from recipes.eights.table import TABLE

online_features = TABLE.online_features
