"""A new recipe made from one that works: what it may be called, and what a copy changes.

Names are changed where they are names, never in data: module paths in code, in
strings and in notebooks; whole scalars of YAML; four constants in ``names.py``,
from which the recipe takes everything else it is called.
"""

from __future__ import annotations

import ast
import io
import itertools
import json
import keyword
import re
import tokenize
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import yaml

from platform_ctl.errors import BadParameter, ConfigError
from platform_ctl.recipe.recipe import Recipe

NAMES_FILE = "names.py"
MAX_LENGTH = 30
"""Characters: a name is part of an InferenceService's, which is a DNS label, and of code lines."""
_WORD = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_TEXT_TOKENS = {
    tokenize.STRING,
    tokenize.COMMENT,
    getattr(tokenize, "FSTRING_MIDDLE", tokenize.STRING),  # Python 3.12 on
}
_UNSEEN = (tokenize.NL, tokenize.COMMENT, tokenize.INDENT, tokenize.DEDENT)
_Edit = tuple[int, int, str]
"""Offsets in the text, and what stands there instead."""


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
        kept = {
            "recipe": recipe.name,
            "pipeline": recipe.pipeline,
            "model": recipe.model_name,
            "InferenceService": recipe.inference_service,
            "Iceberg namespace": recipe.table.partition(".")[0],
            "Feast project": recipe.feature_project,
        }
        for what, other in kept.items():
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


@dataclass(frozen=True)
class Copy:
    """Turns files of recipe ``old`` into files of recipe ``new``."""

    old: str
    """Folder of the recipe that is copied."""
    old_pipeline: str
    new: RecipeName
    package: str = "recipes"

    def file(self, name: str, content: bytes) -> bytes:
        """The copy of a file, by its name; what is neither code, YAML nor a notebook is data."""
        if name == NAMES_FILE:
            return self.python(set_constants(content.decode(), self.constants)).encode()
        if name.endswith(".py"):
            return self.python(content.decode()).encode()
        if name.endswith((".yaml", ".yml")):
            return self.document(content.decode()).encode()
        if name.endswith(".ipynb"):
            return self.notebook(content.decode()).encode()
        return content

    @property
    def constants(self) -> Mapping[str, str]:
        """What ``names.py`` of the new recipe must say; all its other names follow from these."""
        return {
            "RECIPE": self.new.module,
            "PIPELINE": self.new.word,
            "MODEL": self.new.word,
            "NAMESPACE": self.new.module,
        }

    def python(self, source: str) -> str:
        """Source whose imports, and module paths in text, mean the new recipe."""
        return _apply(source, self._python_edits(source))

    def document(self, text: str) -> str:
        """YAML whose scalars mean the new recipe; layout and comments stay."""
        scalars = (token for token in yaml.scan(text) if isinstance(token, yaml.ScalarToken))
        spans = [(token.start_mark.index, token.end_mark.index) for token in scalars]
        return _apply(text, [(start, end, self._scalar(text[start:end])) for start, end in spans])

    def notebook(self, text: str) -> str:
        """A notebook whose cells mean the new recipe; without outputs."""
        document = json.loads(text)
        for cell in document["cells"]:
            source = "".join(cell["source"])
            is_code = cell["cell_type"] == "code"
            changed = self._cell(source) if is_code else self._text(source)
            cell["source"] = changed.splitlines(keepends=True)
            if is_code:
                cell.update(outputs=[], execution_count=None)
        return json.dumps(document, indent=1, ensure_ascii=False) + "\n"

    def _cell(self, source: str) -> str:
        """A code cell; one with a magic command is no Python, and only its text is looked at."""
        try:
            ast.parse(source)
        except SyntaxError:
            return self._text(source)
        return self.python(source)

    def _python_edits(self, source: str) -> Iterator[_Edit]:
        before: list[str] = []
        offset = _line_offsets(source)
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            changed = token.string
            if token.type in _TEXT_TOKENS:
                changed = self._text(token.string)
            elif token.type == tokenize.NAME:
                changed = self._identifier(token.string, before)
            if changed != token.string:
                (row, left), (last, right) = token.start, token.end
                yield offset[row] + left, offset[last] + right, changed
            if token.type == tokenize.NEWLINE:
                before.clear()
            elif token.type not in _UNSEEN:
                before.append(token.string)

    def _identifier(self, name: str, before: list[str]) -> str:
        """A name in code, after the other tokens of its statement."""
        is_path = before[-2:] == [self.package, "."]
        if name == self.old and (is_path or before[:3] == ["from", self.package, "import"]):
            return self.new.module
        return self._wiring.sub(rf"{self.new.module}_\1", name)

    def _text(self, text: str) -> str:
        changed = self._path.sub(rf"\g<1>{self.new.module}", text)
        return self._wiring.sub(rf"{self.new.module}_\1", changed)

    def _scalar(self, text: str) -> str:
        bare = text.strip("'\"")
        if bare == self.old_pipeline:
            return text.replace(bare, self.new.word)
        return self._text(self._image.sub(f"recipe-{self.new.word}", text))

    @cached_property
    def _path(self) -> re.Pattern[str]:
        """``recipes.old`` and ``recipes/old``, not ``recipes.older``."""
        return re.compile(rf"(?<!\w)({re.escape(self.package)}[./]){re.escape(self.old)}(?!\w)")

    @cached_property
    def _image(self) -> re.Pattern[str]:
        """The recipe's container image."""
        return re.compile(rf"\brecipe-{re.escape(self.old_pipeline)}(?![\w-])")

    @cached_property
    def _wiring(self) -> re.Pattern[str]:
        """Modules of the pipeline: ``old_pipeline``, ``old_components``."""
        return re.compile(rf"(?<!\w){re.escape(self.old)}_(pipeline|components)(?!\w)")


def set_constants(source: str, values: Mapping[str, str]) -> str:
    """Module source whose constants of these names are these strings.

    Raises ConfigError unless each is one string constant of the top level.
    """
    found = {
        target.id: statement.value
        for statement in ast.parse(source).body
        if isinstance(statement, ast.Assign)
        and isinstance(target := statement.targets[0], ast.Name)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    }
    if missing := sorted(values.keys() - found.keys()):
        raise ConfigError(
            f"{NAMES_FILE} of the recipe to copy does not set {', '.join(missing)} to a string",
            where=NAMES_FILE,
            fix="platform-ctl recipe new NAME --from RECIPE",
        )
    offset = _line_offsets(source)
    spans = {
        name: (offset[node.lineno] + node.col_offset, ast.get_source_segment(source, node) or "")
        for name, node in found.items()
    }
    edits = [
        (spans[name][0], spans[name][0] + len(spans[name][1]), json.dumps(value))
        for name, value in values.items()
    ]
    return _apply(source, edits)


def _line_offsets(text: str) -> list[int]:
    """Where each line begins, by its number from 1, as Python counts lines."""
    lengths = map(len, io.StringIO(text))
    return [0, *itertools.accumulate(lengths, initial=0)]


def _apply(text: str, edits: Iterable[_Edit]) -> str:
    """Edits that do not overlap."""
    for start, end, new in sorted(edits, reverse=True):
        text = text[:start] + new + text[end:]
    return text
