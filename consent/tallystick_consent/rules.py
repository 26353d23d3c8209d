"""Rules as data: from the events of a period to one answer, with what was counted and what was not.

Pure. A rule is a document both partners hold; nothing in it is code. Days are local to the place, elapsed time is
elapsed, and the same events give the same answer in whatever order they come.

Source: SCENARIOS sections 0 and 1 (day basis, close, merging), DESIGN section 1 (program).
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta, tzinfo
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from tallystick_consent.events import JourneyEvent, data_class_of
from tallystick_ledger.errors import BadInput

MARGIN_S = 2 * 86_400
"""How far beyond a period events are read: days are local to a place, and visits merge over the edge."""


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class Filter(_Strict):
    """Keep only events whose data member is one of the values."""

    member: Literal["facility", "source", "assurance"]
    one_of: Annotated[tuple[Annotated[str, Field(max_length=80)], ...], Field(min_length=1, max_length=1_000)]


class Rule(_Strict):
    """How many qualifying days a calendar month holds, and whether they are enough.

    Attributes:
        events: the event type that is counted.
        where: filters, all of which must hold.
        merge_within_s: visits less than this apart, end to start, are one.
        day_basis: whose calendar a visit's day is read in; it is the day on which the merged visit starts.
        day_min_elapsed_s: what a day's longest visit must last; time between merged visits does not count.
        measure: what is counted.
        at_least: the threshold.
        period: the span of one answer.
        zone: IANA zone of the program, for the period's close.
        close_day: the day of the next month at whose end late evidence stops counting.
        requires_active: a data class whose `.activated` must be the last word before the period ends.
    """

    events: Literal["visit.ended"]
    where: Annotated[tuple[Filter, ...], Field(max_length=8)] = ()
    merge_within_s: Annotated[int, Field(ge=0, le=86_400)]
    day_basis: Literal["facility_local"]
    day_min_elapsed_s: Annotated[int, Field(ge=0, le=86_400)]
    measure: Literal["qualified_days"]
    at_least: Annotated[int, Field(ge=1, le=31)]
    period: Literal["calendar_month"]
    zone: Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_+/-]{0,59}$")]
    close_day: Annotated[int, Field(ge=1, le=28)]
    requires_active: Literal["membership"] | None = None

    @property
    def data_classes(self) -> frozenset[str]:
        """The data classes that a receipt must permit for this rule."""
        needed = {data_class_of(self.events)}
        return frozenset(needed | {self.requires_active} if self.requires_active else needed)

    def statement(self, period: str) -> str:
        """Return what a claim under this rule says, in words of the rule."""
        return f"{data_class_of(self.events)}.{self.measure}({period}) >= {self.at_least}"


@dataclass(frozen=True, slots=True)
class Period:
    """A calendar month in a zone.

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


def month_of(moment: datetime) -> str:
    """Return the calendar month of a moment in its own offset, such as `2027-03`."""
    return f"{moment.year:04}-{moment.month:02}"


def period_named(name: str, *, rule: Rule, zone: tzinfo) -> Period:
    """Return the period of that name.

    Args:
        name: a calendar month, such as `2027-03`.
        rule: the rule, for its close.
        zone: the zone that `rule.zone` names, looked up by the caller.

    Raises:
        BadInput: no calendar month of the years 1970 to 9998 has that name.
    """
    try:
        first = datetime.strptime(name, "%Y-%m").replace(tzinfo=zone)
    except ValueError:
        first = datetime(1, 1, 1, tzinfo=zone)
    if not 1970 <= first.year < 9999 or month_of(first) != name:
        raise BadInput("A period is not a calendar month.", remedy="Write it as YYYY-MM.")
    following = first.replace(year=first.year + first.month // 12, month=first.month % 12 + 1)
    closing = following.replace(day=rule.close_day)
    after_close = datetime.combine(closing.date() + timedelta(days=1), closing.timetz())
    return Period(name, int(first.timestamp()), int(following.timestamp()), int(after_close.timestamp()))


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The answer of a rule, and why.

    Attributes:
        satisfied: whether the threshold is reached.
        days: how many days qualify. This never leaves the node.
        assurance: what saw the qualifying visits: `turnstile`, `geofence` or `mixed`; "" where there is none.
        counted: how many events stand behind the qualifying days.
        not_counted: how many events do not count, by the reason.
    """

    satisfied: bool
    days: int
    assurance: str
    counted: int
    not_counted: dict[str, int]


def evaluate(rule: Rule, events: Sequence[JourneyEvent], *, period: Period) -> Evaluation:
    """Return the rule's answer for a period.

    Args:
        rule: what to count.
        events: the subject's events in the permitted range, and the words on a required membership since the
            receipt's beginning; in any order. Those that do not count are left out with a reason.
        period: the month.
    """
    not_counted: Counter[str] = Counter()
    chosen: list[JourneyEvent] = []
    for event in events:
        if event.type != rule.events:
            continue
        if all(event.data.get(each.member) in each.one_of for each in rule.where):
            chosen.append(event)
        else:
            not_counted["filtered_out"] += 1
    qualifying: dict[date, list[_Visit]] = {}
    for visit in _merged(chosen, within_s=rule.merge_within_s):
        if month_of(visit.started_at) != period.name:
            not_counted["outside_period"] += len(visit.events)
        elif visit.present_s < rule.day_min_elapsed_s:
            not_counted["too_short"] += len(visit.events)
        else:
            qualifying.setdefault(visit.started_at.date(), []).append(visit)
    behind = [event for visits in qualifying.values() for visit in visits for event in visit.events]
    active = _is_active(rule, events, period)
    if not active:
        not_counted["membership_not_active"] += len(behind)
    return Evaluation(
        satisfied=active and len(qualifying) >= rule.at_least,
        days=len(qualifying),
        assurance=_assurance(behind),
        counted=len(behind) if active else 0,
        not_counted=dict(not_counted),
    )


@dataclass(slots=True)
class _Visit:
    """Visits that are one: where they began, how long somebody was there, what saw it."""

    started_at: datetime
    until: datetime
    present_s: float
    events: list[JourneyEvent]


def _merged(events: Sequence[JourneyEvent], *, within_s: int) -> list[_Visit]:
    visits: list[_Visit] = []
    for event in sorted(events, key=lambda each: (each.started_at, each.ended_at, each.id)):
        last = visits[-1] if visits else None
        if last is None or (event.started_at - last.until).total_seconds() >= within_s:
            elapsed_s = (event.ended_at - event.started_at).total_seconds()
            visits.append(_Visit(event.started_at, event.ended_at, elapsed_s, [event]))
            continue
        # Time that two devices both saw is counted once; time that none saw is not counted at all.
        seen_from = max(event.started_at, last.until)
        last.present_s += max(0.0, (event.ended_at - seen_from).total_seconds())
        last.until = max(last.until, event.ended_at)
        last.events.append(event)
    return visits


def _is_active(rule: Rule, events: Sequence[JourneyEvent], period: Period) -> bool:
    if rule.requires_active is None:
        return True
    words = [
        (event.started_at, event.type)
        for event in events
        if event.data_class == rule.requires_active and event.started_at.timestamp() < period.end_s
    ]
    return bool(words) and max(words)[1] == f"{rule.requires_active}.activated"


def _assurance(events: Sequence[JourneyEvent]) -> str:
    sources = {str(event.data["source"]) for event in events}
    return sources.pop() if len(sources) == 1 else "mixed" if sources else ""
