"""Files as tables: separators, encodings, times and classes that could be read in two ways."""

from __future__ import annotations

import gzip

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recipes.common import table_file


@pytest.mark.parametrize(
    ("content", "said", "fix"),
    [
        ("a;b;y\n1,5;2;no\n", "separated by semicolons", "python -c "),
        ("a\tb\ty\n1\t2\tno\n", "separated by tabs", "python -c "),
        ("größe,y\n1,no\n".encode("latin-1"), "not UTF-8 text", "iconv -f ISO-8859-1"),
        ("a,y\n1,no\n".encode("utf-16"), "not UTF-8 text", "iconv -f UTF-16 "),
        (gzip.compress(b"a,y\n1,no\n", mtime=0), "is compressed .gzip.", "gunzip -k "),
        (b"PK\x03\x04", "is compressed .zip.", "unzip "),
        ("a,a,y\n1,2,no\n", "has two columns called 'a'; rename one of them", ""),
        ("a,y\n1,no\n1,2,3\n", "saw 3$", ""),
        ("", "cannot be read: No columns", ""),
        (None, "does not exist", ""),
    ],
)
def test_what_is_no_table_is_refused_with_a_way_out(tmp_path, content, said, fix):
    file = tmp_path / "f.csv"
    if content is not None:
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(table_file.UnreadableFile, match=said) as refused:
        table_file.read(file)
    assert refused.value.fix.startswith(fix) and bool(refused.value.fix) == bool(fix)


def test_a_folder_is_no_table(tmp_path):
    with pytest.raises(table_file.UnreadableFile, match=r"^cannot be read: Is a directory$"):
        table_file.read(tmp_path)


@pytest.mark.parametrize("name", ["f.csv", "f.parquet"])
def test_two_columns_of_one_name_are_refused(tmp_path, name):
    """pandas reads the second as ``a.1``, which no request would ever have."""
    file = tmp_path / name
    if file.suffix == ".csv":
        file.write_bytes(b'\xef\xbb\xbf"a",y,a\n1,2,3\n')
    else:
        pq.write_table(pa.table([[1], [2], [3]], names=["a", "y", "a"]), file)
    with pytest.raises(table_file.UnreadableFile, match="has two columns called 'a'"):
        table_file.read(file)


def test_what_a_spreadsheet_writes_is_read(tmp_path):
    """A byte order mark, and line breaks inside of quotes."""
    file = tmp_path / "f.csv"
    file.write_bytes('\ufeff"a\nb",y\r\n1,"x\ny"\r\n'.encode())
    assert table_file.read(file).to_dict("list") == {"a\nb": [1], "y": ["x\ny"]}


def test_the_way_out_of_semicolons_leads_to_a_table(tmp_path):
    import shlex
    import subprocess
    import sys

    file = tmp_path / "my file.csv"
    file.write_text("a;b\n1,5;2\n")
    with pytest.raises(table_file.UnreadableFile) as refused:
        table_file.read(file)
    _, *words = shlex.split(refused.value.fix)
    subprocess.run([sys.executable, *words], check=True)
    made = table_file.read(tmp_path / "my file-commas.csv")
    assert made.to_dict("list") == {"a": [1.5], "b": [2]}


@pytest.mark.parametrize(
    ("values", "first"),
    [
        (["2024-02-01", "2024-02-02"], "2024-02-01T00:00:00+00:00"),
        (["2024-02-01T10:00:00+02:00", None], "2024-02-01T08:00:00+00:00"),
        (["Feb 1 2024", "Mar 1 2024"], "2024-02-01T00:00:00+00:00"),
        (["13.02.2024", "14.02.2024"], "2024-02-13T00:00:00+00:00"),
        ([1701.0, 1702.0], "1701-01-01T00:00:00+00:00"),
    ],
)
def test_times_that_can_be_read_in_one_way(values, first):
    found = table_file.times(pd.Series(values))
    assert found[0].isoformat() == first and found.dt.unit == "us"


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (["13.02.2024", "01.02.2024"], r"'01\.02\.2024' can be read in two ways"),
        ([1_700_000_000, 1_700_000_060], "is no year"),
        ([True, False], "no times"),
        (["soon"], "soon"),
    ],
)
def test_times_that_cannot(values, said):
    with pytest.raises(ValueError, match=said):
        table_file.times(pd.Series(values))


def test_a_class_is_the_same_however_a_file_writes_it():
    written = ([1, 0], [1.0, 0.0], ["1", "0"])
    assert [list(table_file.classes(pd.Series(v))) for v in written] == [["1", "0"]] * 3
    assert list(table_file.classes(pd.Series([True, False]))) == ["True", "False"]
