"""What a new recipe may be called."""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterable
from dataclasses import dataclass

from platform_ctl.errors import BadParameter
from platform_ctl.recipe.recipe import Recipe

MAX_LENGTH = 30
"""Characters: a name is part of an InferenceService's, which is a DNS label, and of code lines."""
_WORD = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


@dataclass(frozen=True)
class RecipeName:
    """``energy-load``: the pipeline, the model and its service; ``energy_load``: folder, schema."""

    word: str

    @property
    def module(self) -> str:
        return self.word.replace("-", "_")

    @classmethod
    def parse(cls, text: str) -> RecipeName:
        """Raises BadParameter for what cannot be all of a folder, a module and a DNS label."""
        word = text.replace("_", "-")
        if _WORD.fullmatch(word) and len(word) <= MAX_LENGTH:
            name = cls(word)
            if not keyword.iskeyword(name.module):
                return name
            reason = "is a word of Python"
        else:
            reason = (
                f"must be lower-case letters, digits and single hyphens, begin with a letter "
                f"and have at most {MAX_LENGTH} characters"
            )
        raise BadParameter(
            f"a recipe's name {reason}: {text!r} does not do",
            where="NAME",
            fix=f"platform-ctl recipe new {_near(text)}",
        )


def refuse_taken(name: RecipeName, recipes: Iterable[Recipe]) -> None:
    """Raises BadParameter when a recipe already keeps something under that name in the home."""
    for recipe in recipes:
        taken = {
            "recipe": recipe.name,
            "pipeline": recipe.pipeline,
            "model": recipe.model_name,
            "InferenceService": recipe.inference_service,
            "Iceberg namespace": recipe.table.partition(".")[0],
            "Feast project": recipe.feature_project,
        }
        for what, other in taken.items():
            if other in (name.word, name.module):
                used = "a recipe" if what == "recipe" else f"the {what} of recipe {recipe.name}"
                raise BadParameter(
                    f"the name {name.word} is taken: it is {used}",
                    where=f"recipe {recipe.name}",
                    fix=f"platform-ctl recipe new {name.word}-2",
                )


def _near(text: str) -> str:
    """The valid name that is closest to what was typed."""
    words = re.findall(r"[a-z0-9]+", text.lower())
    near = "-".join(words).lstrip("0123456789-")[:MAX_LENGTH].strip("-")
    return f"{near}-forecast" if keyword.iskeyword(near) else near or "energy-load"
