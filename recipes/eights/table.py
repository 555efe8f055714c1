"""Which columns of the file mean what. Apart from recipe.py, which is read without numpy."""

from recipes.common.tabular import Table
from recipes.eights.recipe import FEATURES, RECIPE

TABLE = Table(
    recipe=RECIPE.name,
    name=RECIPE.table,
    label="is_eight",
    features=FEATURES,
    positive="yes",
    entity=RECIPE.entity,
    late_labels=True,
)
