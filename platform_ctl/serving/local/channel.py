"""What a supervisor and its revision processes say to each other: JSON lines over a socket pair.

Down: the ``Launch`` first, then ``Route`` and ``Ping``. Up: ``Event``.
"""

from __future__ import annotations

import msgspec

from platform_ctl.recipe.recipe import DataAccess
from platform_ctl.serving.service import Canary, Revision, ServiceLimits


class Launch(msgspec.Struct, frozen=True, tag="launch"):
    """Load this revision and listen on ``socket``."""

    service: str
    service_dir: str
    project_root: str
    revision: Revision
    socket: str
    request_log: str
    limits: ServiceLimits
    data: DataAccess
    entity: str = ""
    online_features: str = ""


class Route(msgspec.Struct, frozen=True, tag="route"):
    """Whether to accept at the listener, as what, and what to pass on to whom."""

    seq: int
    front: bool
    production: bool
    canary: Canary | None = None


class Ping(msgspec.Struct, frozen=True, tag="ping"):
    seq: int


class Event(msgspec.Struct, frozen=True):
    """``ready`` once, or ``refused``; ``done`` for each seq, ``drained`` when the listener is
    empty."""

    event: str
    seq: int = 0
    condition: str = ""
    """With the answer to a Ping: why it gives no predictions; empty when it does."""
    error: dict[str, str] = {}
    """With ``refused``: the PlatformError for which the revision is not loaded."""


Command = Launch | Route | Ping


def encode(message: msgspec.Struct) -> bytes:
    return msgspec.json.encode(message, enc_hook=str) + b"\n"


def decode_command(line: bytes) -> Command:
    return msgspec.json.decode(line, type=Command, dec_hook=lambda t, v: t(v))


def decode_event(line: bytes) -> Event:
    return msgspec.json.decode(line, type=Event)
