"""What a rule measures: events, made days, made one figure, which has an outcome.

Pure. What cannot be, a bound that no day reaches or a member that an event does not have, is refused where the rule is
read.

    measure   = events, where, sessions -> units -> days -> one figure -> outcome

Source: DESIGN section 1 (program), SCENARIOS sections 0 to 5, CONSTRUCTIONS (rules and rewards).
"""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from tallystick_consent.events import CATALOGUE, data_class_of, types_of
from tallystick_consent.events.shapes import STEPS_DAY_MAX
from tallystick_consent.fields import Strict
from tallystick_consent.rules.comparing import (
    FIGURE_MAX,
    EventName,
    IsOneOf,
    Member,
    OneOf,
    OnOrAfter,
    Outcome,
    Positive,
    Where,
    Within,
    Word,
)
from tallystick_ledger.times import DAY_S

EVENTS_A_DAY_MAX = 10_000
"""What a count of a day is bounded by."""

# From events to days

Basis = Literal[
    "facility_local",
    "store_local",
    "subject_home",
    "posting_date",
    "departure_airport",
    "departure_scheduled",
    "departure_either",
]

_BASES: dict[str, frozenset[str]] = {
    "posting_date": frozenset(name for name, each in CATALOGUE.items() if "on" in each.dates),
    "departure_scheduled": types_of("order.confirmed"),
    "departure_either": types_of("order.confirmed"),
}
"""Which events a basis can be read of, where that is not every one."""


class Sessions(Strict):
    """Events that are one, and how long each such session must last.

    Attributes:
        merge_within_s: events less than this apart, end to start, are one; its day is that of its start.
        elapsed_at_least_s: what a session must last; time between merged events does not count.
    """

    merge_within_s: Annotated[int, Field(ge=0, le=DAY_S)]
    elapsed_at_least_s: Annotated[int, Field(ge=0, le=DAY_S)]


class DayFigure(Strict):
    """How a day's figure is made of what fell on it.

    Attributes:
        take: count what fell on it, add it up, or take the largest.
        of: the figure of an event that is added or compared; None where events are counted.
        per_full: take how often this goes into an event's figure, the rest dropped: a stamp for each full $10.
        cap: no day counts for more; a day over it is flagged, and the subject can contest.
        without_manual: leave out what was entered by hand.
        sources: where several sources tell one day, the first of these that does is taken, and no two are added;
            a source that is not named here counts nothing. None where a day may be made of all of them.
    """

    take: Literal["count", "sum", "max"]
    of: Member | None = None
    per_full: Positive | None = None
    cap: Positive | None = None
    without_manual: bool = False
    sources: Annotated[tuple[Word, ...], Field(min_length=1, max_length=16)] | None = None

    @model_validator(mode="after")
    def _sound(self) -> "DayFigure":
        if (self.take == "count") != (self.of is None):
            raise ValueError("a count is of nothing, and a sum or a largest is of a figure")
        if self.of is None and self.per_full is not None:
            raise ValueError("what is counted has no figure to divide")
        if self.sources is not None and len(set(self.sources)) != len(self.sources):
            raise ValueError("a source is named once")
        return self

    @property
    def only_grows(self) -> bool:
        """Whether what falls on a day can only add to its figure: nothing is paid back, and no source takes another's
        place."""
        return (self.of != "amount" or self.per_full is not None) and len(self.sources or ()) <= 1


# Measures


class _Measure(Strict):
    """What all measures have in common.

    Attributes:
        events: the type that is measured; what corrects or removes such events is read with it.
        where: filters, all of which must hold.
        basis: whose calendar an event's day is read in.
        lookback_days: how many days before the period is read: an order speaks of a later departure, and a run of
            days may have begun before.
        outcome: what the figure means.
    """

    events: EventName
    where: Annotated[tuple[Where, ...], Field(max_length=8)] = ()
    basis: Basis
    lookback_days: Annotated[int, Field(ge=0, le=366)] = 0
    outcome: Outcome

    @model_validator(mode="after")
    def _about_its_events(self) -> "_Measure":
        kind = CATALOGUE.get(self.events)
        if kind is None or (kind.of and kind.of != self.events):
            raise ValueError("a rule names a type of event, and not one that corrects or removes")
        _require_members(self.where, self.events)
        if self.events not in _BASES.get(self.basis, frozenset({self.events})):
            raise ValueError("such events have no day of that basis")
        return self

    @property
    def data_class(self) -> str:
        """The data class a receipt must permit."""
        return data_class_of(self.events)


class _OfDays(_Measure):
    """A measure whose figure is made of days."""

    day: DayFigure
    sessions: Sessions | None = None

    @model_validator(mode="after")
    def _about_its_days(self) -> "_OfDays":
        kind = CATALOGUE[self.events]
        if self.sessions is not None and kind.starts == kind.ends:
            raise ValueError("such events have no length, and so no sessions")
        if self.sessions is not None and (self.day.of not in (None, "elapsed_s") or self.day.sources is not None):
            raise ValueError("a session has a length and nothing else")
        if self.day.of is not None and self.day.of not in kind.figures:
            raise ValueError("such events have no such figure")
        if self.day.without_manual and self.day.of != "steps":
            raise ValueError("such a figure does not say what was entered by hand")
        if self.day.sources is not None and "source" not in kind.identity:
            raise ValueError("such events are not told by several sources")
        if self.day.sources is None and "source" in kind.identity and self.day.take == "sum":
            raise ValueError("several sources may tell one day: name them in order, so that no two are added")
        if isinstance(self.outcome, IsOneOf):
            raise ValueError("a figure is no word")
        return self

    @property
    def day_max(self) -> int:
        """The most that a day's figure can be."""
        if self.day.cap is not None:
            return self.day.cap
        if self.day.take == "count":
            return EVENTS_A_DAY_MAX
        return STEPS_DAY_MAX if self.day.of in ("steps", "manual_steps") else FIGURE_MAX


class _OfQualifyingDays(_OfDays):
    """A measure that asks of each day whether its figure is enough.

    Attributes:
        day_at_least: what a day's figure must be for it to qualify.
    """

    day_at_least: Positive

    @model_validator(mode="after")
    def _reachable(self) -> "_OfQualifyingDays":
        if self.day_at_least > self.day_max:
            raise ValueError("no day could ever qualify")
        return self


class QualifiedDays(_OfQualifyingDays):
    """How many days qualify."""

    measure: Literal["qualified_days"]


class LongestStreak(_OfQualifyingDays):
    """How many days in a row qualify, at best."""

    measure: Literal["longest_streak"]


class LongestMiss(_OfQualifyingDays):
    """How many days in a row do not qualify, at worst; a day that nobody told of does not qualify."""

    measure: Literal["longest_miss"]


class MissedDays(_OfQualifyingDays):
    """How many days do not qualify; a day that nobody told of does not."""

    measure: Literal["missed_days"]


class Sum(_OfDays):
    """All days together."""

    measure: Literal["sum"]


class Max(_OfDays):
    """The largest day."""

    measure: Literal["max"]


class Average(_OfDays):
    """What the days come to on average, compared exactly and never rounded up to a band.

    Attributes:
        divide_by: all days of the period, those without a figure as zero; or the days that were told.
        coverage_at_least: how many days must have been told; below it there is no answer.
        zero_is: whether a day that was told as zero was told, or the device lay in a drawer.
    """

    measure: Literal["average"]
    divide_by: Literal["days_in_period", "days_told"]
    # From 1, so that nothing is ever divided by no days.
    coverage_at_least: Annotated[int, Field(ge=1, le=366)]
    zero_is: Literal["told", "not_told"] = "told"


class Last(_Measure):
    """The last event: its figure or word.

    Attributes:
        of: the figure or the text member.
        also: what that same event must hold besides; an event before it that does changes nothing.
        until: whether it is the last of the period, or the last before the close: books of March close in April.
    """

    measure: Literal["last"]
    of: Member
    also: Annotated[tuple[Where, ...], Field(max_length=4)] = ()
    until: Literal["period_end", "close"] = "period_end"

    @model_validator(mode="after")
    def _about_its_member(self) -> "Last":
        kind = CATALOGUE[self.events]
        if self.of not in (kind.texts if isinstance(self.outcome, IsOneOf) else kind.figures):
            raise ValueError("such events have no such member, or it is not compared like that")
        _require_members(self.also, self.events)
        return self


Measure = Annotated[
    QualifiedDays | LongestStreak | LongestMiss | MissedDays | Sum | Max | Average | Last,
    Field(discriminator="measure"),
]


DayMeasure = QualifiedDays | LongestStreak | LongestMiss | MissedDays | Sum | Max | Average

RUNS_OF_DAYS = (LongestStreak, LongestMiss)
"""The measures that look at days in a row, and so may look back over the period's edge."""


def _require_members(filters: tuple[OneOf | Within | OnOrAfter, ...], events: str) -> None:
    kind = CATALOGUE[events]
    for each in filters:
        known = {OneOf: kind.texts, Within: kind.figures, OnOrAfter: kind.dates}[type(each)]
        if each.member not in known:
            raise ValueError("a filter names a member that such events do not have, or not of that type")


def figures_of(events: str) -> frozenset[str]:
    """Return the members of an event of this type that are figures."""
    return CATALOGUE[events].figures
