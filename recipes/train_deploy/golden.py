"""The golden set: which rows judge every model, with their labels, frozen.

``<golden_dir>/<recipe>/pin.json`` names the set in force by its SHA-256 and
keeps the history of all pins; ``<digest>.json`` beside it holds keys and
labels. Made once by the first ``resolve``; renewed only by ``refresh``.
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from platform_ctl.errors import GoldenSetStale, GoldenSetTampered, MissingGoldenSet
from platform_ctl.recipe.datasets import GoldenSet
from platform_ctl.recipe.recipe import DataAccess
from recipes.train_deploy import names, selection, tables
from recipes.train_deploy.features import build
from recipes.train_deploy.names import RECIPE
from recipes.train_deploy.tables import CommitsSnapshot

if TYPE_CHECKING:
    import pyarrow as pa

_REFRESH = f"platform-ctl data golden refresh --recipe {RECIPE}"


class GoldenRow(msgspec.Struct, frozen=True, array_like=True):
    repo: str
    event_timestamp: datetime
    week_start: datetime
    label: float


class GoldenFile(msgspec.Struct, frozen=True):
    """What is pinned: the same data give the same bytes in every home."""

    schema: int
    as_of: datetime
    starts_at: datetime
    ends_at: datetime
    rows: list[GoldenRow]


class _Pin(msgspec.Struct, frozen=True):
    digest: str
    created_at: datetime
    history: list[dict[str, str]]


def pinned(data: DataAccess) -> str | None:
    """Digest of the set in force, after checking its file; None when there is none yet."""
    pin = _read_pin(data)
    if pin is None:
        return None
    read(data, pin.digest)
    return pin.digest


def read(data: DataAccess, digest: str) -> GoldenFile:
    """The set of that digest. Raises MissingGoldenSet, GoldenSetTampered."""
    path = _folder(data) / f"{digest}.json"
    try:
        content = path.read_bytes()
    except FileNotFoundError as exc:
        raise MissingGoldenSet(
            f"the golden set {digest[:12]} is not in this home", where=str(path), fix=_REFRESH
        ) from exc
    found = hashlib.sha256(content).hexdigest()
    if found != digest:
        raise GoldenSetTampered(
            f"the golden set was changed: pinned {digest[:12]}, found {found[:12]}",
            where=str(path),
            fix=f"restore the file, or: {_REFRESH}",
        )
    return msgspec.json.decode(content, type=GoldenFile)


def show(data: DataAccess) -> GoldenSet | None:
    """The set in force. Raises GoldenSetTampered."""
    pin = _read_pin(data)
    if pin is None:
        return None
    content = read(data, pin.digest)
    return GoldenSet(
        digest=pin.digest,
        rows=len(content.rows),
        repos=len({r.repo for r in content.rows}),
        starts_at=content.starts_at,
        ends_at=content.ends_at,
        snapshot_id=pin.history[-1]["snapshot_id"],
        created_at=pin.created_at,
        file=str(_folder(data) / f"{pin.digest}.json"),
        history=tuple(pin.history),
    )


def create(data: DataAccess, commits: CommitsSnapshot, now: datetime, reason: str) -> str:
    """Freeze the golden weeks of a snapshot and pin them; the digest. Raises TooLittleHistory."""
    newest = selection.as_of(commits.observed)
    starts_at, ends_at = selection.golden_weeks(newest)
    with tables.exclusive(data, "features"):
        build.ensure(data, commits)
        repo_weeks = tables.load(data, names.REPO_WEEKS).scan().to_arrow()
    rows = selection.select(repo_weeks, newest, starts_at, ends_at)
    selection.check_enough(rows, newest)
    content = GoldenFile(
        schema=1,
        as_of=newest,
        starts_at=starts_at,
        ends_at=ends_at,
        rows=[
            GoldenRow(r["repo"], r["event_timestamp"], r["week_start"], r["label"])
            for r in rows.to_pylist()
            if r["split"] == "golden"
        ],
    )
    return _pin(data, content, str(commits.snapshot_id), now, reason)


def apply_to(rows: pa.Table, golden: GoldenFile) -> tuple[pa.Table, int]:
    """Keep of the golden weeks exactly the pinned rows, with the pinned labels.

    Also returns how many labels are different in today's commits (late pushes,
    rewritten history). Raises GoldenSetStale when a pinned row cannot be had.
    """
    import numpy as np

    labels = {(r.repo, r.event_timestamp): r.label for r in golden.rows}
    split = np.asarray(rows["split"])
    label = np.asarray(rows["label"]).copy()
    keep = split != "golden"
    keys = zip(rows["repo"].to_pylist(), rows["event_timestamp"].to_pylist(), strict=True)
    changed = 0
    for i, key in enumerate(keys):
        if not keep[i] and key in labels:
            keep[i] = True
            frozen = labels.pop(key)
            changed += frozen != label[i]
            label[i] = frozen
    if labels:
        lost = sorted({repo for repo, _ in labels})
        raise GoldenSetStale(
            f"{len(labels)} golden rows are no longer in the data: {', '.join(lost[:5])}"
            + (" …" if len(lost) > 5 else ""),
            where=names.COMMITS,
            fix=_REFRESH,
        )
    index = rows.schema.get_field_index("label")
    return rows.set_column(index, "label", [label]).filter(keep), int(changed)


def _pin(
    data: DataAccess, content: GoldenFile, snapshot_id: str, now: datetime, reason: str
) -> str:
    encoded = msgspec.json.format(msgspec.json.encode(content), indent=1)
    digest = hashlib.sha256(encoded).hexdigest()
    before = _read_pin(data)
    entry = {
        "digest": digest,
        "created_at": now.isoformat(),
        "snapshot_id": snapshot_id,
        "reason": reason,
    }
    pin = _Pin(digest, now, [*(before.history if before else []), entry])
    folder = _folder(data)
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / f"{digest}.json", encoded)
    _write(folder / "pin.json", msgspec.json.format(msgspec.json.encode(pin), indent=1))
    return digest


def _write(path: Path, content: bytes) -> None:
    draft = path.with_suffix(".draft")
    with tables.disk_errors():
        draft.write_bytes(content)
        draft.replace(path)


def _read_pin(data: DataAccess) -> _Pin | None:
    path = _folder(data) / "pin.json"
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Pin)
    except FileNotFoundError:
        return None
    except msgspec.DecodeError as exc:
        raise GoldenSetTampered(
            f"the golden set's pin cannot be read: {exc}", where=str(path), fix=_REFRESH
        ) from exc


def _folder(data: DataAccess) -> Path:
    return data.golden_dir / RECIPE
