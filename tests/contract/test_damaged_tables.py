"""Damage to an Iceberg table is named by doctor, with the file; a sound table is whole."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from pyiceberg.catalog.sql import SqlCatalog

from platform_ctl.doctor.doctor import Health
from platform_ctl.doctor.iceberg import check_tables
from platform_ctl.errors import HomeDamaged
from platform_ctl.recipe import iceberg_sqlite


@pytest.fixture
def catalog(tmp_path: Path) -> dict[str, str]:
    folder = tmp_path / "iceberg"
    folder.mkdir()
    properties = {
        "name": "local",
        "uri": f"sqlite:///{folder}/catalog.db",
        "warehouse": f"file://{folder}/warehouse",
    }
    made = SqlCatalog(**properties)
    made.create_namespace("shop")
    rows = pa.table({"id": list(range(1000)), "words": [f"word {i}" for i in range(1000)]})
    table = made.create_table("shop.sales", rows.schema)
    table.append(rows)
    table.append(rows)
    return properties


def only(folder: Path, pattern: str) -> Path:
    """The newest file that matches."""
    return max(folder.rglob(pattern), key=lambda p: p.stat().st_mtime_ns)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def test_a_sound_table_is_whole(catalog: dict[str, str]) -> None:
    (check,) = check_tables(catalog)
    assert (check.health, check.detail) == (Health.OK, "shop.sales is whole")


@pytest.mark.parametrize(
    ("pattern", "damage"),
    [
        ("*.metadata.json", cut),
        ("*.metadata.json", lambda p: p.write_bytes(b"")),
        ("snap-*.avro", lambda p: p.write_bytes(b"")),
        ("snap-*.avro", cut),
        ("snap-*.avro", Path.unlink),
        ("*-m0.avro", cut),
        ("*.parquet", Path.unlink),
        ("*.parquet", cut),
    ],
    ids=["metadata cut", "metadata empty", "list empty", "list cut", "list gone", "manifest cut",
         "data gone", "data cut"],
)  # fmt: skip
def test_damage_is_named_with_its_file(
    catalog: dict[str, str], tmp_path: Path, pattern: str, damage: Callable[[Path], object]
) -> None:
    damage(only(tmp_path, pattern))
    (check,) = check_tables(catalog)
    assert check.health is Health.FAIL
    assert "shop.sales" in check.detail and check.fix


def test_reading_cut_metadata_names_the_file(catalog: dict[str, str], tmp_path: Path) -> None:
    path = only(tmp_path, "*.metadata.json")
    cut(path)
    with pytest.raises(HomeDamaged) as caught:
        iceberg_sqlite.read(catalog, "shop.sales")
    assert caught.value.where == str(path)
