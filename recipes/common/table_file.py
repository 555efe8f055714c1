"""CSV and Parquet files as data frames: what is read, and what is refused by name."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

RESERVED = ("row", "split", "label", "entity", "time", "scale", "ingested_at")
"""Columns of an extracted file that are no features (contract.Extract), or of the table itself."""
OTHER_SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars"}
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
            frame = pd.read_parquet(path)
            return frame if rows is None else frame.head(rows)
        _refuse_other_separators(path)
        return pd.read_csv(path, nrows=rows)
    except FileNotFoundError as exc:
        raise UnreadableFile("does not exist") from exc
    except UnicodeDecodeError as exc:
        utf8 = quote(str(path.with_name(f"{path.stem}-utf8.csv")))
        fix = f"iconv -f ISO-8859-1 -t UTF-8 {quote(str(path))} > {utf8}"
        raise UnreadableFile("cannot be read: it is not UTF-8 text", fix) from exc
    except UnreadableFile:
        raise
    except (OSError, ValueError) as exc:  # pandas' parsers and Arrow raise kinds of ValueError
        raise UnreadableFile(f"cannot be read: {exc}") from exc


def _refuse_other_separators(path: Path) -> None:
    """pandas would take each line for one column."""
    with path.open(encoding="utf-8") as file:
        header = file.readline()
    for sign, name in OTHER_SEPARATORS.items():
        if sign in header and "," not in header:
            made = path.with_name(f"{path.stem}-commas.csv")
            code = (
                f"import pandas; pandas.read_csv({str(path)!r}, sep={sign!r})"
                f".to_csv({str(made)!r}, index=False)"
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
