"""Reads daily steps from the table of a tracker, and holds them against the same tracker's hours.

Pure: bytes in, values out; nothing is recorded here. A day's total stays as it was told. Where it disagrees with its
hours, which is common, the day is flagged and its evidence is graded lower; no third number is made of two.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from tallystick.importing.errors import TableUnreadable
from tallystick.importing.tables.dates import DateOrder, Dates, read_dates
from tallystick.importing.tables.reading import Row, Table, read_table, rows_by_person, rows_of
from tallystick_consent.events import parse_event
from tallystick_consent.events.shapes import STEPS_DAY_MAX
from tallystick_ledger.encoding import length_prefixed, to_base64url

_DAYS = frozenset({"activitydate", "activityday", "date", "day", "summarydate"})
_HOURS = frozenset({"activityhour", "hour", "datetime", "timestamp", "starttime"})
_STEPS = frozenset({"totalsteps", "steps", "stepcount", "steptotal", "stepscount"})
_MANUAL = frozenset({"manualsteps", "stepsmanual", "loggedsteps"})


@dataclass(frozen=True, slots=True, repr=False)
class DaySteps:
    """One person's steps of one day.

    Attributes:
        day: the local date.
        steps: the day's total as it was told.
        manual_steps: those of them that were entered by hand; 0 where the table does not say.
        agrees: whether its hours add up to it; None where no hours were given for it.
    """

    day: date
    steps: int
    manual_steps: int = 0
    agrees: bool | None = None


@dataclass(frozen=True, slots=True)
class StepsReport:
    """What a table says of one person; nothing is recorded yet.

    Attributes:
        days: each once, in order.
        order: the order its dates are in.
        repeated_count: rows that tell a day again, and the same.
        missing_count: days between the first and the last that no row tells.
        zero_count: days of no step at all.
        disagreeing_count: days whose hours do not add up to the total.
    """

    days: tuple[DaySteps, ...] = field(repr=False)
    order: DateOrder
    repeated_count: int
    missing_count: int
    zero_count: int
    disagreeing_count: int


def read_steps(
    raw: bytes,
    *,
    person: str | None = None,
    order: DateOrder | None = None,
    hours: bytes | None = None,
    hours_order: DateOrder | None = None,
) -> StepsReport:
    """Return one person's days from a table of daily steps.

    Args:
        raw: the table of days.
        person: whose rows are meant, where the table is about several.
        order: the order of its dates, where they do not tell themselves.
        hours: the table of hours of the same source, to hold the days against.
        hours_order: the order of its dates.

    Raises:
        TableUnreadable: over a bound, not of its form, ambiguous, or it contradicts itself; nothing of it is used.
    """
    days = _sheet(read_table(raw), _DAYS, order)
    by_hour = None if hours is None else _hours_sheet(hours, hours_order)
    return _report(days, rows_of(days.people, person), by_hour, person)


def read_everyones_steps(
    raw: bytes,
    *,
    order: DateOrder | None = None,
    hours: bytes | None = None,
    hours_order: DateOrder | None = None,
) -> dict[str, StepsReport]:
    """Return each person's days in a table, by the name it has for them, "" for none; as `read_steps`, but read once.

    Raises:
        TableUnreadable: as `read_steps`; one person's bad row refuses the table.
    """
    days = _sheet(read_table(raw), _DAYS, order)
    by_hour = None if hours is None else _hours_sheet(hours, hours_order)
    return {person or "": _report(days, own, by_hour, person) for person, own in days.people.items()}


def steps_events(days: Iterable[DaySteps], *, zone: str, source: str) -> list[tuple[str, dict[str, Any]]]:
    """Return type and data of an event for each day.

    Args:
        days: from a report.
        zone: IANA name of the zone whose midnights part the days.
        source: your own name of the tracker, as a rule's list of sources has it.

    Raises:
        EventRefused: the source is no short name.
    """
    place = ZoneInfo(zone)
    events: list[tuple[str, dict[str, Any]]] = []
    for each in days:
        starts, ends = (datetime.combine(day, time(), place) for day in (each.day, each.day + timedelta(days=1)))
        data: dict[str, Any] = {
            "started_at": starts.isoformat(),
            "ended_at": ends.isoformat(),
            "time_zone": zone,
            "source": source,
            "steps": each.steps,
            "manual_steps": each.manual_steps,
            "assurance": "device_inconsistent" if each.agrees is False else "device",
        }
        parse_event("steps.day_closed", data, event_id="")
        events.append(("steps.day_closed", data))
    return events


def steps_key(day: DaySteps, subject: str, *, source: str) -> str:
    """Return the idempotency key to record a day under: the same total of the same day always has the same.

    Another total for the day is another event; of the two a rule takes one, and never adds them. A plain hash of
    guessable things, so it goes from the app to its own node and no further.
    """
    parts = (day.day.isoformat(), str(day.steps), str(day.manual_steps), str(day.agrees), source, subject)
    return "steps-" + to_base64url(hashlib.sha256(length_prefixed("tallystick/import-steps/v1", *parts)).digest())[:32]


@dataclass(frozen=True, slots=True)
class _Sheet:
    """A table's rows, the moment each is about, and whose they are."""

    rows: list[Row]
    dates: Dates
    people: dict[str | None, list[int]]
    steps_column: int
    manual_column: int | None


def _sheet(table: Table, moments: frozenset[str], order: DateOrder | None) -> _Sheet:
    columns = table.columns({"moment": moments, "steps": _STEPS})
    rows = list(table.rows())
    # The dates of all rows together show their order, whoever they are about.
    dates = read_dates([row.cells[columns["moment"]] for row in rows], [row.number for row in rows], order=order)
    return _Sheet(rows, dates, rows_by_person(table, rows), columns["steps"], table.column(_MANUAL))


def _hours_sheet(raw: bytes, order: DateOrder | None) -> _Sheet:
    found = _sheet(read_table(raw), _HOURS, order)
    if not found.dates.has_time:
        raise TableUnreadable("hours_without_time")
    return found


def _report(days: _Sheet, own: list[int], hours: _Sheet | None, person: str | None) -> StepsReport:
    told: dict[date, tuple[int, int]] = {}
    repeated_count = 0
    for at in own:
        row, day = days.rows[at], days.dates.moments[at].date()
        manual = 0 if days.manual_column is None else count_in(row.cells[days.manual_column], row.number)
        found = count_in(row.cells[days.steps_column], row.number), manual
        if manual > found[0] or told.get(day, found) != found:
            raise TableUnreadable("contradiction", row=row.number)
        repeated_count += day in told
        told[day] = found
    if not told:
        raise TableUnreadable("not_a_table")
    totals = {} if hours is None else _totals(hours, person)
    found_days = tuple(
        DaySteps(day, steps, manual, totals[day] == steps if day in totals else None)
        for day, (steps, manual) in sorted(told.items())
    )
    return StepsReport(
        days=found_days,
        order=days.dates.order,
        repeated_count=repeated_count,
        missing_count=(found_days[-1].day - found_days[0].day).days + 1 - len(found_days),
        zero_count=sum(each.steps == 0 for each in found_days),
        disagreeing_count=sum(each.agrees is False for each in found_days),
    )


def _totals(hours: _Sheet, person: str | None) -> dict[date, int]:
    """Return what a person's hours add up to on each day; nothing where there are none."""
    own = rows_of(hours.people, None) if person is None else hours.people.get(person, hours.people.get(None, []))
    told: dict[datetime, int] = {}
    for at in own:
        row, moment = hours.rows[at], hours.dates.moments[at]
        found = count_in(row.cells[hours.steps_column], row.number)
        if told.setdefault(moment, found) != found:
            raise TableUnreadable("contradiction", row=row.number)
    totals: dict[date, int] = {}
    for moment, steps in told.items():
        totals[moment.date()] = totals.get(moment.date(), 0) + steps
    return totals


def count_in(text: str, row: int) -> int:
    """Return a count of steps.

    Raises:
        TableUnreadable: no whole number, below zero, or more than a day can hold.
    """
    digits = text.removeprefix("-")
    if not (0 < len(digits) <= 12 and digits.isascii() and digits.isdigit()):
        raise TableUnreadable("count_invalid", row=row)
    if text != digits:
        raise TableUnreadable("count_negative", row=row)
    if int(digits) > STEPS_DAY_MAX:
        raise TableUnreadable("count_too_high", row=row)
    return int(digits)
