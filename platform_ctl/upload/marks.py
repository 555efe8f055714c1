"""What an uploaded version says of itself: its name, its tags, its description.

The description holds everything whole and cannot be changed afterwards; the tags
hold what fits, for people and for filters. KFP 2.17: at most 20 tags, key and value
at most 63 characters, no dot in a key (backend/src/apiserver/model/pipeline_tags.go).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

MARK = "managed-by: platform-ctl"
"""First line of the description of a version of ours."""
TAG_LENGTH = 63
_DIGITS = 40
_LINE = re.compile(r"^(git|committed-at|ir|image|sdk|run): (\S+)$", re.MULTILINE)


@dataclass(frozen=True)
class Marks:
    """``ir`` and ``image`` are SHA-256 in hex; ``run_url`` is the CI run's page or ""."""

    commit: str
    committed_at: datetime
    ir: str
    image: str
    sdk: str
    run_url: str = ""

    def same_content(self, other: Marks) -> bool:
        """Whether both stand for the same IR with the same images."""
        return (self.ir, self.image) == (other.ir, other.image)

    @property
    def name(self) -> str:
        """The version's name: the commit's time, the same on every rerun."""
        return self.committed_at.astimezone(UTC).strftime("v%Y%m%d-%H%M%S")

    @property
    def suffixed_name(self) -> str:
        """The name where another commit of the same second has the plain one."""
        return f"{self.name}-{self.commit[:7]}"

    def tags(self) -> dict[str, str]:
        return {
            "managed-by": "platform-ctl",
            "git-sha": self.commit[:TAG_LENGTH],
            "ir-sha256": self.ir[:_DIGITS],
            "image-sha256": self.image[:_DIGITS],
            "sdk": self.sdk[:TAG_LENGTH],
        }

    def description(self) -> str:
        lines = [
            MARK,
            f"git: {self.commit}",
            f"committed-at: {self.committed_at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}",
            f"ir: {self.ir}",
            f"image: {self.image}",
            f"sdk: {self.sdk}",
        ]
        return "\n".join([*lines, f"run: {self.run_url}"] if self.run_url else lines)


def read(description: str) -> Marks | None:
    """The marks of a version of ours; None for one that somebody else made."""
    if not description.startswith(MARK):
        return None
    values = dict(_LINE.findall(description))
    try:
        return Marks(
            commit=values["git"],
            committed_at=datetime.fromisoformat(values["committed-at"]),
            ir=values["ir"],
            image=values["image"],
            sdk=values.get("sdk", ""),
            run_url=values.get("run", ""),
        )
    except (KeyError, ValueError):
        return None


def missing(tags: Mapping[str, str], wanted: Mapping[str, str]) -> dict[str, str]:
    """All of a version's tags with those of ours set; {} when none is missing or different."""
    if all(tags.get(key) == value for key, value in wanted.items()):
        return {}
    return {**tags, **wanted}
