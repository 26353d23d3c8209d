"""Periods: their names, the days they hold, and when late evidence stops counting.

Pure. A period is named in ISO 8601: a day `2027-03-05`, a week `2027-W09`, a month `2027-03`, a year `2027`, or a
window `2027-05-08/2027-05-12`, both days in it. Its name alone says which days it holds; a zone says when they begin.

Source: ISO 8601, CONSTRUCTIONS (a period is ISO 8601 text), SCENARIOS section 0 (day basis, close).
"""

import re
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone, tzinfo
from functools import lru_cache
from typing import Annotated, Literal, Protocol

from pydantic import Field

from tallystick_ledger.errors import BadInput

WINDOW_DAYS_MAX = 366
YEAR_FIRST, YEAR_LAST = 1970, 9998
"""Outside of these, a close or a margin would not have a date."""

Span = Literal["calendar_day", "iso_week", "calendar_month", "calendar_year", "window"]

DAYS_IN: dict[str, tuple[int, int]] = {
    "calendar_day": (1, 1),
    "iso_week": (7, 7),
    "calendar_month": (28, 31),
    "calendar_year": (365, 366),
    "window": (1, WINDOW_DAYS_MAX),
}
"""The fewest and the most days that a period of a span has."""

NAMES: dict[str, str] = {
    "calendar_day": "2027-03-05",
    "iso_week": "2027-W09",
    "calendar_month": "2027-03",
    "calendar_year": "2027",
    "window": "2027-05-08/2027-05-12",
}
"""A name of each span, as long as any other of it."""

ZoneName = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_+/-]{0,59}$")]
"""An IANA zone by its form; whether there is one of that name, only a zone database can say."""

PERIOD_NAME_PATTERN = r"^[0-9]{4}(-W?[0-9]{2}(-[0-9]{2})?(/[0-9]{4}-[0-9]{2}-[0-9]{2})?)?$"
"""The form of every name of a period; `dates_of` says whether there is such a period."""

_SHAPES: tuple[tuple[Span, re.Pattern[str]], ...] = (
    ("calendar_month", re.compile(r"[0-9]{4}-[0-9]{2}")),
    ("calendar_day", re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")),
    ("iso_week", re.compile(r"[0-9]{4}-W[0-9]{2}")),
    ("calendar_year", re.compile(r"[0-9]{4}")),
    ("window", re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}/[0-9]{4}-[0-9]{2}-[0-9]{2}")),
)


FIRST_ZONE = timezone(timedelta(hours=14))
"""Where a day begins first on Earth."""

LAST_ZONE = timezone(timedelta(hours=-12))
"""Where a day ends last on Earth: what is closed there is closed at everybody's home."""


class HasClose(Protocol):
    """What of a rule a period needs."""

    @property
    def span(self) -> Span:
        """How long a period is."""
        ...

    @property
    def close_after_days(self) -> int:
        """How many whole local days after the period late evidence still counts."""
        ...


@dataclass(frozen=True, slots=True)
class Period:
    """A period in a zone.

    Attributes:
        name: ISO 8601, such as `2027-03`.
        start_s: its first moment.
        end_s: the first moment after it.
        close_s: the first moment at which late evidence counts no more.
    """

    name: str
    start_s: int
    end_s: int
    close_s: int


def name_of(day: date, span: Span) -> str:
    """Return the name of the period of a calendar span that holds a day.

    Raises:
        BadInput: the span is a window, which no day names.
    """
    match span:
        case "calendar_day":
            return day.isoformat()
        case "iso_week":
            year, week, _ = day.isocalendar()
            return f"{year:04}-W{week:02}"
        case "calendar_month":
            return f"{day.year:04}-{day.month:02}"
        case "calendar_year":
            return f"{day.year:04}"
        case "window":
            raise BadInput("A window is not named by a day.", remedy="Name its first and last day.")


def period_after(name: str) -> str:
    """Return the name of the calendar period that follows.

    Raises:
        BadInput: no period has that name, or it is a window.
    """
    return name_of(dates_of(name)[1] + timedelta(days=1), span_of(name))


def span_of(name: str) -> Span:
    """Return the span of the period of that name.

    Raises:
        BadInput: no period has a name of that form.
    """
    for span, shape in _SHAPES:
        if shape.fullmatch(name):
            return span
    raise _no_period()


@lru_cache(maxsize=4_096)
def dates_of(name: str) -> tuple[date, date]:
    """Return the first and the last day of the period of that name.

    Raises:
        BadInput: there is no period of that name in the years 1970 to 9998, or it is longer than a window may be.
    """
    try:
        first, last = _dates_of(name, span_of(name))
    except (ValueError, OverflowError):
        raise _no_period() from None
    if not YEAR_FIRST <= first.year <= last.year <= YEAR_LAST or not 0 <= (last - first).days < WINDOW_DAYS_MAX:
        raise _no_period()
    return first, last


def _dates_of(name: str, span: Span) -> tuple[date, date]:
    match span:
        case "calendar_day":
            first = date.fromisoformat(name)
            return first, first
        case "iso_week":
            first = date.fromisocalendar(int(name[:4]), int(name[6:]), 1)
            return first, first + timedelta(days=6)
        case "calendar_month":
            first = date(int(name[:4]), int(name[5:]), 1)
            return first, first.replace(year=first.year + first.month // 12, month=first.month % 12 + 1) - _A_DAY
        case "calendar_year":
            return date(int(name), 1, 1), date(int(name), 12, 31)
        case "window":
            start, _, end = name.partition("/")
            return date.fromisoformat(start), date.fromisoformat(end)


_A_DAY = timedelta(days=1)


def period_named(name: str, *, rule: HasClose, zone: tzinfo) -> Period:
    """Return the period of that name.

    Args:
        name: such as `2027-03`; of the rule's own span.
        rule: the rule, for its span and its close.
        zone: the zone its days begin in: the one `rule.zone` names, or the subject's home; looked up by the caller.

    Raises:
        BadInput: no period of the rule's span, in the years 1970 to 9998, has that name.
    """
    return _period_named(name, rule.span, rule.close_after_days, zone)


@lru_cache(maxsize=4_096)
def _period_named(name: str, span: Span, close_after_days: int, zone: tzinfo) -> Period:
    if span_of(name) != span:
        raise _no_period()
    first, last = dates_of(name)
    following = last + _A_DAY
    closed = following + timedelta(days=close_after_days)
    start_s, end_s, close_s = (
        int(datetime.combine(each, time(), zone).timestamp()) for each in (first, following, closed)
    )
    return Period(name, start_s, end_s, close_s)


def _no_period() -> BadInput:
    return BadInput(
        "A period is not one of the rule's span.",
        remedy="Write a day as 2027-03-09, a week as 2027-W10, a month as 2027-03, a year as 2027.",
    )
