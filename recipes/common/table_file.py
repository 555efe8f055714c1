"""CSV and Parquet files as data frames: what is read, and what is refused by name."""

from __future__ import annotations

import codecs
import csv
from collections.abc import Iterable
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

RESERVED = ("row", "split", "label", "entity", "time", "scale", "ingested_at")
"""Columns of an extracted file that are no features (contract.Extract), or of the table itself."""
OF_THE_TABLE = ("row", "ingested_at")
"""Columns that a table has beside those of the file: no column of a file is stored under them."""
OTHER_SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars"}
COMPRESSED = {b"\x1f\x8b": ("gzip", "gunzip -k"), b"PK\x03\x04": ("zip", "unzip")}
"""First bytes -> the format, and the command that unpacks it beside the file."""
YEARS = (1678, 2261)
"""Whole numbers that are read as years; the ends are those of a timestamp in nanoseconds."""


class UnreadableFile(ValueError):
    """A file that is no table; ``fix`` is a command that makes one of it, where there is one."""

    def __init__(self, what: str, fix: str = "") -> None:
        super().__init__(what)
        self.fix = fix


def read(path: Path, rows: int | None = None) -> pd.DataFrame:
    """The table of a file, or its first ``rows``. Raises UnreadableFile."""
    import pandas as pd

    try:
        if path.suffix in (".parquet", ".pq"):
            _refuse_equal_names(_names_of_parquet(path))
            frame = pd.read_parquet(path)
            return frame if rows is None else frame.head(rows)
        _refuse_compressed(path)
        names, first = _beginning_of_csv(path)
        _refuse_other_separators(path, names, first)
        _refuse_equal_names(names)
        return pd.read_csv(path, nrows=rows)
    except FileNotFoundError as exc:
        raise UnreadableFile("does not exist") from exc
    except UnicodeDecodeError as exc:
        raise UnreadableFile("cannot be read: it is not UTF-8 text", _converted(path)) from exc
    except UnreadableFile:
        raise
    except (OSError, ValueError) as exc:  # pandas' parsers and Arrow raise kinds of ValueError
        reason = exc.strerror if isinstance(exc, OSError) and exc.strerror else str(exc)
        raise UnreadableFile(f"cannot be read: {' '.join(reason.split())}") from exc


def _converted(path: Path) -> str:
    """The command that writes a file in another encoding as UTF-8. Two bytes say UTF-16; of the
    encodings of one byte Latin-1 is the one that takes every file."""
    with path.open("rb") as file:
        is_utf16 = file.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
    made = quote(str(path.with_name(f"{path.stem}-utf8.csv")))
    return f"iconv -f {'UTF-16' if is_utf16 else 'ISO-8859-1'} -t UTF-8 {quote(str(path))} > {made}"


def _refuse_compressed(path: Path) -> None:
    with path.open("rb") as file:
        begins = file.read(4)
    for mark, (name, command) in COMPRESSED.items():
        if begins.startswith(mark):
            raise UnreadableFile(
                f"is compressed ({name}); a recipe reads CSV or Parquet",
                f"{command} {quote(str(path))}",
            )


def _beginning_of_csv(path: Path) -> tuple[list[str], list[str]]:
    """The header and the first row; empty where there is none."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file)
        try:
            return next(reader, []), next(reader, [])
        except csv.Error:  # what pandas says of the file has its line
            return [], []


def _names_of_parquet(path: Path) -> list[str]:
    import pyarrow.parquet as pq

    return [str(name) for name in pq.ParquetFile(path).schema_arrow.names]


def _refuse_equal_names(names: list[str]) -> None:
    """pandas would call the second ``a`` ``a.1``, and a model would ask for a column that no file
    has. Columns without a name are left to the reader."""
    if twice := [name for name in dict.fromkeys(names) if name and names.count(name) > 1]:
        raise UnreadableFile(f"has two columns called {twice[0]!r}; rename one of them")


def _refuse_other_separators(path: Path, names: list[str], first: list[str]) -> None:
    """pandas would take each line for one column. ``names`` and ``first``: the header and the first
    row, as they are separated by commas."""
    for sign, name in OTHER_SEPARATORS.items():
        if len(names) == 1 and sign in names[0]:
            rewritten = path.with_name(f"{path.stem}-commas.csv")
            # Where semicolons separate, commas are in numbers.
            decimal = ", decimal=','" if sign == ";" and len(first) > 1 else ""
            code = (
                f"import pandas; pandas.read_csv({str(path)!r}, sep={sign!r}{decimal})"
                f".to_csv({str(rewritten)!r}, index=False)"
            )
            raise UnreadableFile(
                f"is separated by {name}, not by commas", f"python -c {quote(code)}"
            )


def times(values: pd.Series) -> pd.Series:
    """A column of times: timestamps, years, or text that can be read in one way only.

    UTC, in microseconds; "" and null stay null. Raises ValueError.
    """
    import pandas as pd

    if values.dtype.kind in "iuf":
        _refuse_no_years(values)
        texts = values.map(lambda v: f"{v:.0f}-01-01", na_action="ignore")
        return pd.to_datetime(texts, utc=True).dt.as_unit("us")
    if values.dtype.kind == "M" or isinstance(values.dtype, pd.DatetimeTZDtype):
        return pd.to_datetime(values, utc=True).dt.as_unit("us")
    if values.dtype.kind == "b":
        raise ValueError("true and false are no times")
    texts = values.dropna().astype(str).drop_duplicates()
    try:
        read_as = pd.to_datetime(texts, utc=True, format="ISO8601")
    except ValueError:
        read_as = pd.to_datetime(texts, utc=True, format="mixed")
        other = pd.to_datetime(texts, utc=True, format="mixed", dayfirst=True)
        if differ := [t for t, a, b in zip(texts, read_as, other, strict=True) if a != b]:
            raise ValueError(
                f"{differ[0]!r} can be read in two ways; write it as YEAR-MONTH-DAY"
            ) from None
    known = dict(zip(texts, read_as, strict=True))
    found = values.map(lambda v: known[str(v)], na_action="ignore")
    return pd.to_datetime(found, utc=True).dt.as_unit("us")


def _refuse_no_years(values: pd.Series) -> None:
    known = values.dropna()
    wrong = known[(known % 1 != 0) | ~known.between(*YEARS)]
    if len(wrong):
        raise ValueError(f"{wrong.iloc[0]:g} is no year from {YEARS[0]} to {YEARS[1]}")


def classes(values: pd.Series) -> pd.Series:
    """A column of classes as text: 1, 1.0 and "1" are one class, whatever pandas read them as."""
    if values.dtype.kind == "f":
        values = values.map(lambda v: f"{v:g}", na_action="ignore")
    return values.astype("string")


def reserved(names: Iterable[str]) -> str:
    """The first name that no feature may have; "" when there is none."""
    return next((name for name in names if name in RESERVED), "")
