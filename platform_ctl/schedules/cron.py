"""Cron expressions as KFP's controller reads them: six fields, seconds first, UTC.

KFP 2.x parses with ``github.com/robfig/cron`` 1.2.0. What is accepted here is the part
of its grammar that no other reader understands differently; ``Cron`` gives the same
fire times (``tests/data/cron/robfig`` holds 200 expressions with the times of robfig itself).
"""

from __future__ import annotations

import functools
import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

DAY_S = 86400
MACROS = {
    "@hourly": "0 0 * * * *",
    "@daily": "0 0 0 * * *",
    "@weekly": "0 0 0 * * 0",
    "@monthly": "0 0 0 1 * *",
}
"""Names that are written out as six fields before anybody else sees them."""
_REFUSED_MACROS = {
    "@midnight": "0 0 0 * * *",
    "@yearly": "0 0 0 1 1 *",
    "@annually": "0 0 0 1 1 *",
}
_YEARS_AHEAD = 5
"""robfig's ``Next`` gives up after the fifth year that follows, and answers year 1."""
_HORIZON_YEARS = range(2026, 2096)
"""Years looked at for dates that do not come; 2100 has no 29 February, and its gap is longer."""


class BadCron(ValueError):
    """An expression that is refused; ``suggestion`` is the one that was meant, or empty."""

    def __init__(self, what: str, suggestion: str = "", interval_s: int = 0) -> None:
        super().__init__(what)
        self.suggestion = suggestion
        self.interval_s = interval_s
        """For ``@every``: the interval that says the same."""


@dataclass(frozen=True)
class _Field:
    name: str
    low: int
    high: int
    names: Mapping[str, int]


def _named(words: str, first: int) -> dict[str, int]:
    return {word: number for number, word in enumerate(words.split(), first)}


_FIELDS = (
    _Field("second", 0, 59, {}),
    _Field("minute", 0, 59, {}),
    _Field("hour", 0, 23, {}),
    _Field("day of month", 1, 31, {}),
    _Field("month", 1, 12, _named("jan feb mar apr may jun jul aug sep oct nov dec", 1)),
    _Field("day of week", 0, 6, _named("sun mon tue wed thu fri sat", 0)),
)
_ITEM = re.compile(r"(\*|\?|[a-zA-Z0-9]+)(?:-([a-zA-Z0-9]+))?(?:/([0-9]+))?", re.ASCII)


@dataclass(frozen=True)
class Cron:
    """One expression. Moments are whole seconds since the epoch, UTC."""

    text: str
    """Six fields with one blank between them."""
    seconds: tuple[int, ...]
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    """Sunday is 0."""
    both_days: bool
    """Whether a date must match day of month and day of week; otherwise one of them is enough."""

    def after(self, moment: int) -> int | None:
        """The first fire time later than ``moment``; None when robfig finds none either."""
        day, second = divmod(moment + 1, DAY_S)
        last_year = _date(day).year + _YEARS_AHEAD
        in_day = self._in_day_from(second) if self._on(_date(day)) else None
        while in_day is None:
            day += 1
            on = _date(day)
            if on.year > last_year:
                return None
            if on.month not in self.months:
                day = _day(date(on.year + on.month // 12, on.month % 12 + 1, 1)) - 1
            elif self._on(on):
                in_day = self._in_day_from(0)
        return day * DAY_S + in_day

    def until(self, moment: int) -> int | None:
        """The last fire time at or before ``moment``, within five years."""
        day, second = divmod(moment, DAY_S)
        first_year = _date(day).year - _YEARS_AHEAD
        in_day = self._in_day_until(second) if self._on(_date(day)) else None
        while in_day is None:
            day -= 1
            on = _date(day)
            if on.year < first_year:
                return None
            if on.month not in self.months:
                day = _day(on.replace(day=1))
            elif self._on(on):
                in_day = self._in_day_until(DAY_S - 1)
        return day * DAY_S + in_day

    def shortest_gap_s(self) -> int:
        """The least time between two fire times that follow each other on one day."""
        for values, unit in ((self.seconds, 1), (self.minutes, 60), (self.hours, 3600)):
            if len(values) > 1:
                around = values[0] + (60 if unit < 3600 else 24) - values[-1]
                return min(around, *(b - a for a, b in pairwise(values))) * unit
        return DAY_S

    def _on(self, on: date) -> bool:
        if on.month not in self.months:
            return False
        in_month, in_week = on.day in self.days, on.isoweekday() % 7 in self.weekdays
        return (in_month and in_week) if self.both_days else (in_month or in_week)

    def _in_day_from(self, second: int) -> int | None:
        """The first fire time of a day at or after ``second`` of it."""
        hour, minute, second = second // 3600, second // 60 % 60, second % 60
        at = bisect_left(self.seconds, second)
        if at == len(self.seconds):
            minute, at = minute + 1, 0
        if hour in self.hours:
            index = bisect_left(self.minutes, minute)
            if index < len(self.minutes):
                at = at if self.minutes[index] == minute else 0
                return hour * 3600 + self.minutes[index] * 60 + self.seconds[at]
        later = bisect_right(self.hours, hour)
        if later == len(self.hours):
            return None
        return self.hours[later] * 3600 + self.minutes[0] * 60 + self.seconds[0]

    def _in_day_until(self, second: int) -> int | None:
        """The last fire time of a day at or before ``second`` of it."""
        hour, minute, second = second // 3600, second // 60 % 60, second % 60
        at = bisect_right(self.seconds, second) - 1
        if at < 0:
            minute -= 1
        if hour in self.hours:
            index = bisect_right(self.minutes, minute) - 1
            if index >= 0:
                at = at if at >= 0 and self.minutes[index] == minute else -1
                return hour * 3600 + self.minutes[index] * 60 + self.seconds[at]
        earlier = bisect_left(self.hours, hour) - 1
        if earlier < 0:
            return None
        return self.hours[earlier] * 3600 + self.minutes[-1] * 60 + self.seconds[-1]


@functools.lru_cache(maxsize=4096)
def parse(text: str) -> Cron:
    """Read an expression or one of ``MACROS``. Raises BadCron."""
    words = text.split()
    _refuse_other_notations(text, words)
    if text.strip() in MACROS:
        words = MACROS[text.strip()].split()
    if len(words) != len(_FIELDS):
        raise _wrong_count(words)
    values = [_field(field, words, place) for place, field in enumerate(_FIELDS)]
    starred = [any(i[0] in "*?" for i in word.split(",")) for word in words[3:]]
    second, minute, hour, day, month, weekday = values
    cron = Cron(
        " ".join(words),
        tuple(sorted(second)),
        tuple(sorted(minute)),
        tuple(sorted(hour)),
        frozenset(day),
        frozenset(month),
        frozenset(weekday),
        both_days=starred[0] or starred[2],
    )
    _refuse_dates_that_do_not_come(cron)
    return cron


def _refuse_other_notations(text: str, words: list[str]) -> None:
    """Notations that other readers of cron know: time zones, ``@every``, other names."""
    if words and "=" in words[0]:
        raise BadCron(
            f"{words[0]}: KFP's controller has one time zone, and here it is UTC",
            " ".join(words[1:]),
        )
    if words and words[0] == "@every":
        interval_s = _duration_s(words[1] if len(words) > 1 else "")
        raise BadCron("@every is an interval, not a time of the clock", interval_s=interval_s)
    if words and words[0].startswith("@") and text.strip() not in MACROS:
        known = ", ".join(MACROS)
        raise BadCron(f"{words[0]} is not one of {known}", _REFUSED_MACROS.get(words[0], ""))


def _wrong_count(words: list[str]) -> BadCron:
    if len(words) == 5:
        weekday = re.sub(r"\b7\b", "0", words[4])
        return BadCron(
            "five fields: KFP reads the first as the second, so this is another time",
            " ".join(["0", *words[:4], weekday]),
        )
    return BadCron(f"{len(words)} fields instead of six (second minute hour day month weekday)")


def _field(field: _Field, words: list[str], place: int) -> set[int]:
    items = words[place].split(",")

    def bad(what: str, *better: str) -> BadCron:
        meant = [*words[:place], ",".join(better), *words[place + 1 :]] if better else []
        return BadCron(f"{field.name} {words[place]!r}: {what}", " ".join(meant))

    if "" in items:
        raise bad("an empty item in the list", *([i for i in items if i] or ["*"]))
    values: set[int] = set()
    for item in items:
        others = [i for i in items if i != item]
        matched = _ITEM.fullmatch(item)
        if not matched:
            raise bad("L, W and # are not understood by KFP" if _quartz(item) else "not understood")
        low, high, step = matched.groups()
        if step is not None and not int(step):
            raise bad("a step of 0", *others, item.partition("/")[0])
        if low in "*?":
            if high is not None:
                raise bad("a range that begins with *", *others, f"{field.low}-{high}")
            values |= set(range(field.low, field.high + 1, int(step or 1)))
            continue
        first = _number(field, low, bad)
        last = field.high if step is not None and high is None else first
        last = last if high is None else _number(field, high, bad)
        if first > last:
            raise bad(
                "a range that wraps around", *others, *_unwrapped(field, low, high or low, first)
            )
        values |= set(range(first, last + 1, int(step or 1)))
    return values


def _number(field: _Field, word: str, bad: Callable[..., BadCron]) -> int:
    if word.lower() in field.names:
        return field.names[word.lower()]
    if not word.isdigit():
        raise bad("L, W and # are not understood by KFP" if _quartz(word) else f"no {field.name}")
    number = int(word)
    if field.name == "day of week" and number == 7:
        raise bad("Sunday is 0, KFP refuses 7", "0")
    if not field.low <= number <= field.high:
        raise bad(f"{number} is not from {field.low} to {field.high}")
    return number


def _unwrapped(field: _Field, low: str, high: str, first: int) -> list[str]:
    """A range over the end as ranges that rise: ``SAT-MON`` is ``SAT-6`` and ``0-MON``."""
    head = low if first == field.high else f"{low}-{field.high}"
    tail = high if high.isdigit() and int(high) == field.low else f"{field.low}-{high}"
    return [head, tail]


def _quartz(item: str) -> bool:
    return "#" in item or item.upper().rstrip("0123456789-").endswith(("L", "W"))


def _duration_s(text: str) -> int:
    """Seconds of a Go duration such as ``1h30m``; 0 when it is none."""
    units = {"h": 3600, "m": 60, "s": 1}
    parts = re.findall(r"(\d+)([hms])", text)
    return sum(int(n) * units[u] for n, u in parts) if parts else 0


def _refuse_dates_that_do_not_come(cron: Cron) -> None:
    """The controller's loop does not end on an expression without a next fire time.

    A year is one of fourteen kinds; robfig finds the next date when one of the five
    years that follow has one.
    """
    has_date = [_has_date(cron, year) for year in _HORIZON_YEARS]
    window = _YEARS_AHEAD
    for index in range(len(has_date) - window):
        if (index == 0 or has_date[index]) and not any(has_date[index + 1 : index + 1 + window]):
            raise BadCron("the date does not come, or not within five years of the one before")


def _has_date(cron: Cron, year: int) -> bool:
    january = date(year, 1, 1)
    leap = date(year, 12, 31).timetuple().tm_yday == 366
    return _kind_has_date(
        cron.days, cron.months, cron.weekdays, cron.both_days, january.isoweekday() % 7, leap
    )


@functools.lru_cache(maxsize=4096)
def _kind_has_date(
    days: frozenset[int],
    months: frozenset[int],
    weekdays: frozenset[int],
    both_days: bool,
    first_weekday: int,
    leap: bool,
) -> bool:
    """Whether a kind of year, by the weekday of its first day and its length, has such a date."""
    start = date(2000 if leap else 2001, 1, 1)
    for offset in range(366 if leap else 365):
        on = start + timedelta(days=offset)
        if on.month in months:
            in_week = (first_weekday + offset) % 7 in weekdays
            in_month = on.day in days
            if (in_month and in_week) if both_days else (in_month or in_week):
                return True
    return False


def _day(on: date) -> int:
    return on.toordinal() - _EPOCH_DAY


_EPOCH_DAY = date(1970, 1, 1).toordinal()


@functools.lru_cache(maxsize=8192)
def _date(day: int) -> date:
    return date.fromordinal(day + _EPOCH_DAY)


def utc(moment: int) -> str:
    """A moment in RFC 3339."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
