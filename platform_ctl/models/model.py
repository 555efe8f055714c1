"""Registered models: versions, aliases shown as stages, and the record of every alias move."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from platform_ctl.errors import NoSuchModel, UsageError, unknown

STAGING, PRODUCTION, PREVIOUS = "staging", "production", "previous"
STAGES = (PRODUCTION, STAGING, PREVIOUS)
"""MLflow deprecated stages; these aliases are shown in their place."""
OUTSIDE = "unknown"
"""The actor of a move that the platform did not make."""
INPUT_TYPE = "double"
"""Every column of a signature: what JSON and tables hold without asking."""
WEIGHTS_DIR = "data/model"
"""Where MLflow puts the trainer's files, inside the model directory."""
LOADER = '''"""Loads the model with the predict code that it was registered with."""

from {predictor} import load as _load_pyfunc

__all__ = ["_load_pyfunc"]
'''
"""The module that MLflow loads; ``predictor`` is the module with the recipe's code."""
NO_HASH = "0" * 64
REFERENCE = re.compile(r"(?P<name>[^@/]+)(?:@(?P<alias>[^@/]+)|/(?P<version>[^@/]+))?")

DIGEST_TAG = "model_digest"
EVALUATION_TAG = "evaluation_digest"
SNAPSHOT_TAG = "data_snapshot"
RECIPE_TAG = "recipe"
VERDICT_TAG = "gate_verdict"


@dataclass(frozen=True)
class ModelVersion:
    """``tags`` hold the provenance: run, code, data snapshot, digests, verdict."""

    name: str
    version: str
    created_at: str
    aliases: tuple[str, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    mlflow_run_id: str = ""
    source: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """Of the MLflow run it came from: the evaluation's figures."""

    @property
    def digest(self) -> str:
        return self.tags.get(DIGEST_TAG, "")

    @property
    def stage(self) -> str:
        """Production, Staging, Previous, or None."""
        return next((s.capitalize() for s in STAGES if s in self.aliases), "None")

    def __str__(self) -> str:
        return f"{self.name}/{self.version}"


@dataclass(frozen=True)
class RegisteredModel:
    """``versions`` newest first."""

    name: str
    versions: tuple[ModelVersion, ...] = ()

    @property
    def aliases(self) -> dict[str, str]:
        """Alias -> version."""
        return {alias: v.version for v in self.versions for alias in v.aliases}

    def version(self, number: str) -> ModelVersion | None:
        return next((v for v in self.versions if v.version == number), None)

    def by_digest(self, digest: str) -> ModelVersion | None:
        """The newest version with these contents."""
        return next((v for v in self.versions if v.digest == digest), None)


@dataclass(frozen=True)
class DatasetUse:
    """Data that a model was made from or judged on."""

    name: str
    digest: str
    context: str
    """``training`` or ``evaluation``."""
    kind: str = "iceberg"


@dataclass(frozen=True)
class ModelCandidate:
    """Everything a registry needs to hold a model that runs without this repository."""

    name: str
    experiment: str
    model_dir: Path
    evaluation_dir: Path
    predictor: Path
    """Source file with ``load(model_dir)`` -> object with ``predict(table)``; self-contained."""
    inputs: tuple[str, ...]
    """Feature names, in order; every one is an INPUT_TYPE."""
    digest: str
    tags: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    parameters: Mapping[str, str] = field(default_factory=dict)
    attachments: Mapping[str, Path] = field(default_factory=dict)
    """Evidence to keep beside the model: name -> file."""
    report: Path | None = None
    """A page about the run that made it."""
    source: str = ""
    """The folder of its recipe, relative to the project."""
    title: str = ""
    """What models of this name are for."""
    description: str = ""
    """Markdown for people: how good it is, what the gate found, what it came from."""
    curves: Mapping[str, Sequence[float]] = field(default_factory=dict)
    """Metric -> its value after each epoch of the fit."""
    datasets: tuple[DatasetUse, ...] = ()


@dataclass(frozen=True)
class AliasMove:
    """One line of the append-only history; "" as a version means that there was, or is, none."""

    seq: int
    model: str
    alias: str
    from_version: str
    to_version: str
    at: str
    actor: str
    reason: str
    previous_hash: str
    hash: str = ""

    def sealed_hash(self) -> str:
        """sha256 over every field before ``hash``, the hash of the line before included."""
        fields = [
            self.seq,
            self.model,
            self.alias,
            self.from_version,
            self.to_version,
            self.at,
            self.actor,
            self.reason,
            self.previous_hash,
        ]
        return hashlib.sha256(json.dumps(fields).encode()).hexdigest()


# ---- references ----------------------------------------------------------------


def parse_reference(reference: str) -> tuple[str, str, str]:
    """``NAME``, ``NAME@alias`` or ``NAME/version`` -> (name, alias, version). Raises UsageError."""
    match = REFERENCE.fullmatch(reference)
    if not match:
        raise UsageError(
            f"{reference!r} is not NAME, NAME@alias or NAME/version",
            where="model reference",
            fix="platform-ctl model list",
        )
    return match["name"], match["alias"] or "", match["version"] or ""


def find_model(models: Sequence[RegisteredModel], name: str) -> RegisteredModel:
    """Raises NoSuchModel, naming near misses."""
    model = next((m for m in models if m.name == name), None)
    if model:
        return model
    if not models:
        raise NoSuchModel(
            f"no model is registered yet, so there is no {name!r}",
            where="registry",
            fix="platform-ctl pipeline list",
        )
    before, colon, number = name.partition(":")
    if colon and any(m.name == before for m in models):  # as images and Python's packages are named
        error = NoSuchModel(
            f"no model named {name!r}; did you mean {before}/{number}?",
            where="registry",
            fix=f"platform-ctl model show {before}",
        )
        error.typed, error.meant = name, f"{before}/{number}"
        raise error
    raise unknown(
        f"no model named {name!r}",
        name,
        [m.name for m in models],
        where="registry",
        fix="platform-ctl model list",
        error=NoSuchModel,
    )


def find_version(models: Sequence[RegisteredModel], reference: str) -> ModelVersion:
    """The version of ``NAME@alias`` or ``NAME/version``; of ``NAME``: production, else staging,
    else the newest. Raises NoSuchModel, UsageError."""
    name, alias, number = parse_reference(reference)
    model = find_model(models, name)
    if alias:
        number = model.aliases.get(alias, "")
        if not number:
            raise unknown(
                f"{name} has no alias {alias!r}",
                alias,
                sorted(model.aliases),
                where="registry",
                fix=f"platform-ctl model show {name}",
                error=NoSuchModel,
            )
    elif not number:
        preferred = (model.aliases.get(a) for a in (PRODUCTION, STAGING))
        newest = model.versions[0].version if model.versions else ""
        number = next((v for v in preferred if v), newest)
    version = model.version(number)
    if not version:
        there = ", ".join(v.version for v in model.versions[:10]) or "none"
        raise NoSuchModel(
            f"{name} has no version {number or '(none)'}; there is: {there}",
            where="registry",
            fix=f"platform-ctl model show {name}",
        )
    return version


# ---- digests -------------------------------------------------------------------


def content_digest(parts: Mapping[str, bytes | Path]) -> str:
    """``sha256:…`` over named contents; independent of their order and of where files lie."""
    total = hashlib.sha256()
    for name in sorted(parts):
        part = parts[name]
        content = part.read_bytes() if isinstance(part, Path) else part
        total.update(f"{hashlib.sha256(content).hexdigest()}  {name}\n".encode())
    return f"sha256:{total.hexdigest()}"


def model_digest(model_dir: Path, predictor: Path, inputs: Sequence[tuple[str, str]]) -> str:
    """What makes a model this model: the trainer's files, the signature, the predict code.

    ``inputs``: (column name, MLflow type) in order.
    """
    files = {
        f"model/{p.relative_to(model_dir).as_posix()}": p
        for p in model_dir.rglob("*")
        if p.is_file()
    }
    signature = json.dumps([list(column) for column in inputs]).encode()
    return content_digest({**files, "predictor.py": predictor, "signature": signature})


# ---- history -------------------------------------------------------------------


def broken_link(history: Iterable[AliasMove]) -> AliasMove | None:
    """The first line of the whole, ordered history that was changed, inserted or follows a gap."""
    previous, seq = NO_HASH, 0
    for move in history:
        if move.seq != seq + 1 or move.previous_hash != previous or move.hash != move.sealed_hash():
            return move
        previous, seq = move.hash, move.seq
    return None


def recorded_aliases(history: Iterable[AliasMove], model: str) -> dict[str, str]:
    """Alias -> version after the last recorded move; without the ones that were removed."""
    last = {m.alias: m.to_version for m in history if m.model == model}
    return {alias: version for alias, version in last.items() if version}


def unrecorded_moves(
    history: Sequence[AliasMove], model: str, aliases: Mapping[str, str]
) -> list[tuple[str, str, str]]:
    """(alias, recorded version, found version) wherever the registry differs from the history.

    A home that has recorded no move of the model knows nothing of its aliases: with a registry
    that machines share, another one moved them.
    """
    if not any(move.model == model for move in history):
        return []
    recorded = recorded_aliases(history, model)
    return [
        (alias, recorded.get(alias, ""), aliases.get(alias, ""))
        for alias in sorted({*recorded, *aliases})
        if recorded.get(alias, "") != aliases.get(alias, "")
    ]
