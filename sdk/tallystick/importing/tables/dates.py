"""Reads a column of dates whose order nobody states, or refuses it: a guess would move steps into another month.

Pure. One column has one layout, spelled one way throughout; a column in which some dates carry leading zeros and
others do not was put together from two, and no order of it can be relied on (the usual trace of a spreadsheet that
turned the dates it could around, and left the rest). Where every date reads both ways, the order must be told.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from tallystick.importing.errors import TableUnreadable

DateOrder = Literal["year_first", "day_first", "month_first"]

_TIME = r"(?:[T ](?P<hour>\d{1,2}):(?P<minute>\d{2})(?P<second>:\d{2})?(?P<half> [AP]M)?)?"
_YEAR_FIRST = re.compile(r"(?P<year>\d{4})(?P<part>[-/.])(?P<one>\d{1,2})(?P=part)(?P<two>\d{1,2})" + _TIME)
_YEAR_LAST = re.compile(r"(?P<one>\d{1,2})(?P<part>[-/.])(?P<two>\d{1,2})(?P=part)(?P<year>\d{4})" + _TIME)
_COMPACT = re.compile(r"(?P<year>\d{4})(?P<one>\d{2})(?P<two>\d{2})")


@dataclass(frozen=True, slots=True)
class _Cell:
    """A date that may read two ways.

    Attributes:
        year, one, two: as written; which of the last two is the month depends on the order.
        hour, minute: of the day; 0 where no time is told.
        layout: all that must be the same throughout a column.
        padded: whether a leading zero was written; None where no number below ten stands in it.
    """

    year: int
    one: int
    two: int
    hour: int
    minute: int
    layout: tuple[object, ...]
    padded: bool | None


@dataclass(frozen=True, slots=True)
class Dates:
    """The dates of a column.

    Attributes:
        order: the order they are in.
        has_time: whether they tell a time of day.
        moments: each row's, without a zone; midnight where no time is told.
    """

    order: DateOrder
    has_time: bool
    moments: list[datetime]


def read_dates(texts: Sequence[str], rows: Sequence[int], *, order: DateOrder | None = None) -> Dates:
    """Return the dates in a column.

    Args:
        texts: the cells.
        rows: their rows' numbers, for a refusal.
        order: the order they are in, where it is told; else it must follow from them.

    Raises:
        TableUnreadable: a cell is no date, dates are written in more than one way, or in another order than was told;
            or none was told and they read both ways.
    """
    # A month of a thousand people repeats thirty texts: each is looked at once.
    seen: dict[str, _Cell] = {}
    for text, row in zip(texts, rows, strict=True):
        if text not in seen:
            seen[text] = _cell(text, row)
    cells = list(seen.values())
    if len({cell.layout for cell in cells}) > 1 or len({cell.padded for cell in cells} - {None}) > 1:
        raise TableUnreadable("dates_inconsistent")
    found = _order(cells, told=order)
    read = {text: _moment(cell, found) for text, cell in seen.items()}
    for text, row in zip(texts, rows, strict=True):
        if read[text] is None:
            raise TableUnreadable("date_invalid", row=row)
    moments = [moment for text in texts if (moment := read[text]) is not None]
    return Dates(found, bool(cells) and cells[0].layout[2] is not None, moments)


def _cell(text: str, row: int) -> _Cell:
    for shape in (_YEAR_FIRST, _YEAR_LAST, _COMPACT):
        found = shape.fullmatch(text) if text.isascii() else None
        if found is None:
            continue
        named = found.groupdict()
        numbers = [named["one"], named["two"]]
        small = [len(each) == 2 for each in numbers if int(each) < 10]
        if len(set(small)) > 1:
            raise TableUnreadable("dates_inconsistent", row=row)
        time = None if named.get("hour") is None else (bool(named["second"]), bool(named["half"]))
        return _Cell(
            year=int(named["year"]),
            one=int(named["one"]),
            two=int(named["two"]),
            hour=_hour(named, row),
            minute=int(named.get("minute") or 0),
            layout=(shape.pattern, named.get("part"), time),
            padded=small[0] if small else None,
        )
    raise TableUnreadable("date_invalid", row=row)


def _hour(named: dict[str, str | None], row: int) -> int:
    hour, half = int(named.get("hour") or 0), named.get("half")
    if half is None:
        return hour
    if not 1 <= hour <= 12:
        raise TableUnreadable("date_invalid", row=row)
    return hour % 12 + (12 if half == " PM" else 0)


def _order(cells: Sequence[_Cell], *, told: DateOrder | None) -> DateOrder:
    if not cells or cells[0].layout[0] != _YEAR_LAST.pattern:
        if told not in (None, "year_first"):
            raise TableUnreadable("date_order_wrong")
        return "year_first"
    orders: tuple[DateOrder, ...] = ("day_first", "month_first")
    possible: list[DateOrder] = [each for each in orders if all(_moment(cell, each) is not None for cell in cells)]
    if told is not None:
        if told not in possible:
            raise TableUnreadable("date_order_wrong")
        return told
    if not possible:
        raise TableUnreadable("dates_inconsistent")
    if len(possible) > 1 and any(cell.one != cell.two for cell in cells):
        raise TableUnreadable("dates_ambiguous")
    return possible[0]


def _moment(cell: _Cell, order: DateOrder) -> datetime | None:
    month, day = (cell.two, cell.one) if order == "day_first" else (cell.one, cell.two)
    try:
        return datetime(cell.year, month, day, cell.hour, cell.minute)  # noqa: DTZ001  # its zone is the caller's
    except ValueError:
        return None
