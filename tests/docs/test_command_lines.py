"""The checker of command lines finds what a reader would stumble over, and nothing else."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from tests.support.pages import calls, check_call, command_lines


@pytest.mark.parametrize(
    "call",
    [
        "platform-ctl --help",
        "platform-ctl --version",
        "platform-ctl --home somewhere config show --origin",
        "platform-ctl config show -o json",
        "platform-ctl config show -o FORMAT",
        "platform-ctl doctor --output=json",
    ],
)
def test_a_good_call_parses(call: str) -> None:
    check_call(call)


@pytest.mark.parametrize(
    "call",
    [
        "platform-ctl",
        "platform-ctl confg show",
        "platform-ctl config",
        "platform-ctl config shwo",
        "platform-ctl config show --orign",
        "platform-ctl config show -o yaml",
        "platform-ctl config show all",
        "platform-ctl --target moon config show",
    ],
)
def test_a_bad_call_does_not(call: str) -> None:
    with pytest.raises(click.UsageError):
        check_call(call)


def test_calls_are_found_between_other_words_of_a_shell() -> None:
    line = (
        "cd x && PLATFORM_HOME=h .venv/bin/platform-ctl doctor -o json | jq . ; echo platform-ctl"
    )
    assert list(calls(line)) == ["platform-ctl doctor -o json"]


def test_calls_are_found_in_shell_blocks_only(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "platform-ctl in text\n"
        "```text\nplatform-ctl in text\n```\n"
        "   ```sh\n   platform-ctl run \\\n     show   # the newest\n   ```\n"
        "```console\n$ platform-ctl doctor\nplatform-ctl is output\n```\n"
    )
    found = [(c.line, c.text) for c in command_lines(page)]
    assert found == [(7, "platform-ctl run show"), (10, "platform-ctl doctor")]
