"""The golden set: which rows judge a model, with their labels, under a digest.

``<place>/<recipe>/pin.json`` names the set in force by its SHA-256 and keeps the history of all
pins; ``<digest>.json`` beside it holds row names and labels. A run carries the digest, so that
what it was judged on can be read later, whatever is pinned by then. The place is a folder of the
home, or an object store where machines share it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from platform_ctl.errors import GoldenSetStale, GoldenSetTampered, MissingGoldenSet
from platform_ctl.recipe.datasets import GoldenSet
from platform_ctl.recipe.recipe import DataAccess
from recipes.common.files import Files, files_at

if TYPE_CHECKING:
    import pyarrow as pa

SCHEMA = 2
ENTITY_OF = "@"
"""A row's name is ``entity@period``, or has no such sign."""


class GoldenRow(msgspec.Struct, frozen=True, array_like=True):
    row: str
    label: float


class GoldenFile(msgspec.Struct, frozen=True):
    """What is pinned: the same data give the same bytes in every home."""

    schema: int
    starts_at: datetime | None
    ends_at: datetime | None
    rows: list[GoldenRow]

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.encoded()).hexdigest()

    def encoded(self) -> bytes:
        return msgspec.json.format(msgspec.json.encode(self), indent=1)


class _Pin(msgspec.Struct, frozen=True):
    digest: str
    created_at: datetime
    history: list[dict[str, str]]


@dataclass(frozen=True)
class GoldenSets:
    """The golden sets of one recipe in one home."""

    access: DataAccess
    recipe: str

    @property
    def files(self) -> Files:
        """``<place>/<recipe>``: the home's folder, or the object store that machines share."""
        return files_at(f"{self.access.golden_uri or self.access.golden_dir}/{self.recipe}")

    def pinned(self) -> str | None:
        """Digest of the set in force, after checking its file; None when there is none yet."""
        pin = self._pin()
        if pin is None:
            return None
        self.read(pin.digest)
        return pin.digest

    def snapshot(self) -> str:
        """The snapshot that the set in force was made of; "" without a set."""
        pin = self._pin()
        return pin.history[-1]["snapshot_id"] if pin else ""

    def read(self, digest: str) -> GoldenFile:
        """The set of that digest. Raises MissingGoldenSet, GoldenSetTampered."""
        path = self.files.where(f"{digest}.json")
        try:
            content = self.files.read(f"{digest}.json")
        except FileNotFoundError as exc:
            raise MissingGoldenSet(
                f"there is no golden set {digest[:12]} here",
                where=path,
                fix=self._refresh,
            ) from exc
        digest_now = hashlib.sha256(content).hexdigest()
        if digest_now != digest:
            raise GoldenSetTampered(
                f"the golden set was changed: pinned {digest[:12]}, found {digest_now[:12]}",
                where=path,
                fix=self._refresh,
            )
        try:
            return msgspec.json.decode(content, type=GoldenFile)
        except msgspec.DecodeError as exc:  # of an older version of the platform
            raise GoldenSetTampered(
                f"the golden set is not in the form of this version: {exc}",
                where=path,
                fix=self._refresh,
            ) from exc

    def show(self) -> GoldenSet | None:
        """The set in force. Raises GoldenSetTampered."""
        pin = self._pin()
        if pin is None:
            return None
        content = self.read(pin.digest)
        return GoldenSet(
            digest=pin.digest,
            rows=len(content.rows),
            entities=len({r.row.rpartition(ENTITY_OF)[0] or r.row for r in content.rows}),
            starts_at=content.starts_at,
            ends_at=content.ends_at,
            snapshot_id=pin.history[-1]["snapshot_id"],
            created_at=pin.created_at,
            file=self.files.where(f"{pin.digest}.json"),
            history=tuple(pin.history),
        )

    def pin(
        self,
        content: GoldenFile,
        snapshot_id: str,
        now: datetime,
        reason: str,
        *,
        renew: bool = False,
    ) -> str:
        """Put the set in force; its digest. The same set again changes nothing, but a file of it
        that is gone or damaged.

        ``renew``: a pin that cannot be read is replaced, without its history. Raises
        GoldenSetTampered for one otherwise.
        """
        before = self._readable_pin() if renew else self._pin()
        digest = content.digest
        if before and before.digest == digest:
            if not self._is_whole(digest):
                self.files.write(f"{digest}.json", content.encoded())
            return digest
        entry = {
            "digest": digest,
            "created_at": now.isoformat(),
            "snapshot_id": snapshot_id,
            "reason": reason,
        }
        pin = _Pin(digest, now, [*(before.history if before else []), entry])
        self.files.write(f"{digest}.json", content.encoded())
        self.files.write("pin.json", msgspec.json.format(msgspec.json.encode(pin), indent=1))
        return digest

    def apply_to(self, rows: pa.Table, golden: GoldenFile) -> tuple[pa.Table, int]:
        """Keep of the golden rows exactly the pinned ones, with the pinned labels.

        Also returns how many labels are different in today's data. Raises GoldenSetStale when a
        pinned row cannot be had.
        """
        import numpy as np

        labels = {r.row: r.label for r in golden.rows}
        label = np.asarray(rows["label"]).astype(np.float64)
        keep = np.asarray(rows["split"]) != "golden"
        changed = 0
        for i, name in enumerate(rows["row"].to_pylist()):
            if not keep[i] and name in labels:
                keep[i] = True
                frozen = labels.pop(name)
                changed += frozen != label[i]
                label[i] = frozen
        if labels:
            raise self._stale(sorted(labels))
        index = rows.schema.get_field_index("label")
        return rows.set_column(index, "label", [label]).filter(keep), int(changed)

    def _stale(self, lost: Sequence[str]) -> GoldenSetStale:
        names = ", ".join(lost[:5]) + (" …" if len(lost) > 5 else "")
        return GoldenSetStale(
            f"{len(lost)} golden rows are no longer in the data: {names}",
            where=self.files.where(""),
            fix=self._refresh,
        )

    def _readable_pin(self) -> _Pin | None:
        """None also for a pin that cannot be read."""
        try:
            return self._pin()
        except GoldenSetTampered:
            return None

    def _is_whole(self, digest: str) -> bool:
        try:
            self.read(digest)
        except (MissingGoldenSet, GoldenSetTampered):
            return False
        return True

    def _pin(self) -> _Pin | None:
        try:
            return msgspec.json.decode(self.files.read("pin.json"), type=_Pin)
        except FileNotFoundError:
            return None
        except msgspec.DecodeError as exc:
            raise GoldenSetTampered(
                f"the golden set's pin cannot be read: {exc}",
                where=self.files.where("pin.json"),
                fix=self._refresh,
            ) from exc

    @property
    def _refresh(self) -> str:
        return (
            f"platform-ctl data golden refresh --recipe {self.recipe} --reason 'damaged, made anew'"
        )


def of_rows(
    rows: pa.Table, starts_at: datetime | None = None, ends_at: datetime | None = None
) -> GoldenFile:
    """The golden rows of a table with the columns ``row``, ``split`` and ``label``."""
    import pyarrow.compute as pc

    golden = rows.filter(pc.equal(rows["split"], "golden"))
    pairs = zip(golden["row"].to_pylist(), golden["label"].to_pylist(), strict=True)
    return GoldenFile(SCHEMA, starts_at, ends_at, [GoldenRow(r, float(v)) for r, v in pairs])
