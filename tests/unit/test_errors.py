"""Errors are a contract: ids stay, a family fixes the exit code, each has its runbook."""

from __future__ import annotations

import pickle
import traceback
from collections import Counter
from pathlib import Path

import pytest

from platform_ctl import errors
from platform_ctl.errors import PlatformError

ROOT = Path(__file__).resolve().parents[2]


def every_class() -> list[type[PlatformError]]:
    found = [v for v in vars(errors).values() if isinstance(v, type)]
    return [c for c in found if issubclass(c, PlatformError)]


@pytest.mark.parametrize("cls", every_class(), ids=lambda c: c.id)
def test_an_error_survives_its_dictionary(cls: type[PlatformError]) -> None:
    again = errors.from_dict(cls("what", where="where", fix="fix").as_dict())
    assert (type(again), str(again), again.where, again.fix) == (cls, "what", "where", "fix")


def test_no_two_errors_share_an_id() -> None:
    counted = Counter(c.id for c in every_class())
    assert [i for i, n in counted.items() if n > 1] == []


@pytest.mark.parametrize("cls", every_class(), ids=lambda c: c.id)
def test_every_error_is_complete(cls: type[PlatformError]) -> None:
    assert cls.id.startswith("err-")
    assert cls.exit_code in {2, 3, 4, 5, 6, 70}
    assert cls.__doc__, f"{cls.__name__} has no docstring: say in one sentence when it is raised"
    assert (ROOT / cls.runbook).is_file()
    if cls.__mro__[1] not in (Exception, PlatformError):
        family = next(c for c in cls.__mro__ if PlatformError in c.__bases__)
        assert (cls.exit_code, cls.runbook) == (family.exit_code, family.runbook)


def test_errors_are_raised_from_one_file_only() -> None:
    """A class defined elsewhere would have no runbook and no place in the reference."""
    strangers = [
        path.relative_to(ROOT)
        for package in ("platform_ctl", "recipes", "pipelines")
        for path in (ROOT / package).rglob("*.py")
        if path.name != "errors.py"
        and any(
            line.startswith("class ")
            and line.split("(", 1)[-1].split(")")[0] in {c.__name__ for c in every_class()}
            for line in path.read_text(encoding="utf-8").splitlines()
        )
    ]
    assert strangers == []


def test_an_error_survives_the_way_between_processes() -> None:
    sent = errors.MissingTable("no table", where="here", fix="platform-ctl data ingest --sample")
    back = pickle.loads(pickle.dumps(sent))
    assert type(back) is errors.MissingTable
    assert back.as_dict() == sent.as_dict()
    assert str(back) == "no table"


def test_an_error_is_read_back_from_the_traceback_that_it_left() -> None:
    try:
        raise errors.DiskFull("no room", where="/data", fix="platform-ctl run prune")
    except errors.DiskFull as exc:
        text = "".join(traceback.format_exception(exc)) + "F1128 launcher\n"
        assert errors.from_traceback(text) == {**exc.as_dict(), "where": "", "fix": ""}
    assert errors.from_traceback("") == {}


def test_an_error_that_was_dealt_with_is_not_what_ended_the_program() -> None:
    text = ""
    for kind in (errors.DiskFull, ValueError):
        try:
            raise kind("first or last")
        except (errors.DiskFull, ValueError) as exc:
            text += "".join(traceback.format_exception(exc))
    assert errors.from_traceback(text) == {}
