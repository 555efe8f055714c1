"""Damage to an Iceberg table is named by doctor, with the file; a sound table is whole."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyiceberg.catalog import load_catalog
from pyiceberg.catalog.sql import SqlCatalog

from platform_ctl.doctor.doctor import Health
from platform_ctl.doctor.iceberg import check_tables
from platform_ctl.errors import HomeDamaged
from platform_ctl.recipe import data_files, iceberg_sqlite


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


def test_a_byte_that_changed_and_still_decodes_is_named(
    catalog: dict[str, str], tmp_path: Path
) -> None:
    rows = pa.table({"words": [f"word {i}" for i in range(100)]})
    plain = {"write.parquet.compression-codec": "uncompressed"}
    table = load_catalog(**catalog).create_table("shop.plain", rows.schema, properties=plain)
    table.append(rows)
    data_files.record(table)
    assert {c.health for c in check_tables(catalog)} == {Health.OK}
    (path,) = (tmp_path / "iceberg" / "warehouse" / "shop" / "plain").rglob("*.parquet")
    other = pq.read_table(path)
    size = path.stat().st_size
    flipped = path.read_bytes().replace(b"word 7", b"word 8", 1)
    path.write_bytes(flipped)
    assert (path.stat().st_size, pq.read_table(path) != other) == (size, True)
    (check,) = [c for c in check_tables(catalog) if c.health is Health.FAIL]
    assert str(path) in check.detail and "is not what was written" in check.detail
    assert check.fix


def test_a_file_without_a_digest_is_read_as_before(catalog: dict[str, str]) -> None:
    """A home of an older version, or an ingest that was killed just before it."""
    table = load_catalog(**catalog).load_table("shop.sales")
    data_files.record(table)
    table.append(pa.table({"id": [1], "words": ["x"]}))
    (check,) = check_tables(catalog)
    assert check.health is Health.OK


def test_only_files_that_no_snapshot_names_are_swept(
    catalog: dict[str, str], tmp_path: Path
) -> None:
    table = load_catalog(**catalog).load_table("shop.sales")
    named = set(tmp_path.rglob("*.parquet"))
    dead = next(iter(named)).with_name("00000-0-killed.parquet")
    dead.write_bytes(b"half a fi")
    assert data_files.sweep(table) == 1
    assert set(tmp_path.rglob("*.parquet")) == named
    table.delete("id >= 0")
    table.refresh()
    assert data_files.sweep(table) == 0, "an earlier snapshot names them still"
    assert named <= set(tmp_path.rglob("*.parquet"))


def test_nothing_is_swept_where_manifests_cannot_be_read(
    catalog: dict[str, str], tmp_path: Path
) -> None:
    table = load_catalog(**catalog).load_table("shop.sales")
    cut(only(tmp_path, "*-m0.avro"))
    assert data_files.sweep(table) == 0
    assert len(list(tmp_path.rglob("*.parquet"))) == 2


def test_reading_cut_metadata_names_the_file(catalog: dict[str, str], tmp_path: Path) -> None:
    path = only(tmp_path, "*.metadata.json")
    cut(path)
    with pytest.raises(HomeDamaged) as caught:
        iceberg_sqlite.read(catalog, "shop.sales")
    assert caught.value.where == str(path)
