"""Durations and sizes as people write them."""

from datetime import timedelta

import click
import pytest

from platform_ctl.cli.units import Duration, Size, text_of_bytes


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("30d", timedelta(days=30)),
        ("12h", timedelta(hours=12)),
        ("1.5 H", timedelta(minutes=90)),
        ("45m", timedelta(minutes=45)),
        ("0s", timedelta(0)),
        ("2w", timedelta(weeks=2)),
    ],
)
def test_durations(text, expected):
    assert Duration()(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", 0),
        ("1024", 1024),
        ("2GB", 2_000_000_000),
        ("2g", 2_000_000_000),
        ("1.5GiB", 1_610_612_736),
        ("512 MiB", 536_870_912),
        ("7kB", 7000),
        ("1TB", 10**12),
    ],
)
def test_sizes(text, expected):
    assert Size()(text) == expected


@pytest.mark.parametrize("text", ["30", "d", "-1d", "1y", "1d12h", "nan", "", "1e3s", "99999999d"])
def test_what_is_not_a_duration_is_refused(text):
    with pytest.raises(click.BadParameter):
        Duration()(text)


@pytest.mark.parametrize("text", ["GB", "-1", "1XB", "1,5GB", "inf", ""])
def test_what_is_not_a_size_is_refused(text):
    with pytest.raises(click.BadParameter):
        Size()(text)


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (2_000_000_000, "2 GB")]
)
def test_sizes_for_people(count, text):
    assert text_of_bytes(count) == text
