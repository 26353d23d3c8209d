"""The language of rules: one document, read by both partners, with no code in it.

Pure. A rule measures something of a subject's events over a period and says what outcome that has. Each shape is
closed: an unknown member, an impossible bound or a member that an event type does not have is refused when the rule is
read, never when a month closes.

    rule      = requires (what must hold) + measures (1 to 4, all of which must be so) + period + late
    measure   = events, where, sessions -> units -> days -> one figure -> outcome
    outcome   = at_least | at_most | equals | one_of | bands | reveals

Source: DESIGN section 1 (program), SCENARIOS sections 0 to 5, CONSTRUCTIONS (rules and rewards).
"""

from functools import cached_property
from itertools import pairwise
from typing import Annotated, Any, Literal, cast

from pydantic import Discriminator, Field, Tag, model_validator

from tallystick_consent.events import CATALOGUE, data_class_of, types_of
from tallystick_consent.events.shapes import STEPS_DAY_MAX
from tallystick_consent.fields import Strict
from tallystick_consent.rules.periods import DAYS_IN, NAMES, Span, ZoneName

FIGURE_MAX = 2**53 - 1
BANDS_MAX = 16
HOME = "home"
"""The data class of events that tell where a subject lives, by time zone alone."""

STATEMENT_SIZE_MAX = 200
"""What a claim's answer holds."""

EVENTS_A_DAY_MAX = 10_000
"""What a count of a day is bounded by."""


def names_in(value: object) -> frozenset[str]:
    """Return the names of members of a document or a model, by which its shape is told."""
    if isinstance(value, dict):
        return frozenset(map(str, cast("dict[object, object]", value)))
    return frozenset(cast("dict[str, object]", getattr(value, "__dict__", {})))


Word = Annotated[str, Field(max_length=80)]
Member = Annotated[str, Field(pattern=r"^[a-z][a-z_]{0,39}$")]
Figure = Annotated[int, Field(ge=-FIGURE_MAX, le=FIGURE_MAX)]
Positive = Annotated[int, Field(ge=1, le=FIGURE_MAX)]
EventName = Annotated[str, Field(pattern=r"^[a-z]{1,20}\.[a-z_]{1,20}$")]

# Row filters


class OneOf(Strict):
    """Keep events whose text member is one of the words."""

    member: Member
    one_of: Annotated[tuple[Word, ...], Field(min_length=1, max_length=1_000)]


class Within(Strict):
    """Keep events whose figure lies within bounds, both of them in it."""

    member: Member
    at_least: Figure | None = None
    at_most: Figure | None = None

    @model_validator(mode="after")
    def _sound(self) -> "Within":
        if self.at_least is None and self.at_most is None:
            raise ValueError("a filter has a bound")
        if self.at_least is not None and self.at_most is not None and self.at_least > self.at_most:
            raise ValueError("a filter's bounds leave nothing between them")
        return self


class OnOrAfter(Strict):
    """Keep events whose date member is not before the first, or the last, day of the period."""

    member: Member
    on_or_after: Literal["first_day", "last_day"]


def _filter_shape(value: Any) -> str:
    given = names_in(value)
    return "words" if "one_of" in given else "date" if "on_or_after" in given else "figure"


Where = Annotated[
    Annotated[OneOf, Tag("words")] | Annotated[Within, Tag("figure")] | Annotated[OnOrAfter, Tag("date")],
    Discriminator(_filter_shape),
]

# Outcomes


class AtLeast(Strict):
    """Yes, where the figure is that or more."""

    at_least: Figure


class AtMost(Strict):
    """Yes, where the figure is that or less."""

    at_most: Figure


class Equals(Strict):
    """Yes, where the figure is just that."""

    equals: Figure


class IsOneOf(Strict):
    """Yes, where the last event's word is one of these."""

    one_of: Annotated[tuple[Word, ...], Field(min_length=1, max_length=100)]


class Bands(Strict):
    """Which band the figure lies in. Bands touch: no table can have a gap, or two bands for one figure.

    Attributes:
        bands: where each band but the first begins, rising. Bands are numbered from 1.
        sent_from: the lowest band that is told; below it nothing is sent.
    """

    bands: Annotated[tuple[Figure, ...], Field(min_length=1, max_length=BANDS_MAX - 1)]
    sent_from: Annotated[int, Field(ge=1, le=BANDS_MAX)]

    @model_validator(mode="after")
    def _sound(self) -> "Bands":
        if any(later <= earlier for earlier, later in pairwise(self.bands)):
            raise ValueError("each band begins above the one before")
        if self.sent_from > len(self.bands) + 1:
            raise ValueError("no band would ever be sent")
        return self


class Reveals(Strict):
    """The figure itself: the one outcome that is no yes, and needs the rung of an aggregate."""

    reveals: Literal["figure"]


def _outcome_shape(value: Any) -> str:
    given = names_in(value)
    found = [name for name in ("at_least", "at_most", "equals", "one_of", "bands", "reveals") if name in given]
    return found[0] if found else "at_least"


Outcome = Annotated[
    Annotated[AtLeast, Tag("at_least")]
    | Annotated[AtMost, Tag("at_most")]
    | Annotated[Equals, Tag("equals")]
    | Annotated[IsOneOf, Tag("one_of")]
    | Annotated[Bands, Tag("bands")]
    | Annotated[Reveals, Tag("reveals")],
    Discriminator(_outcome_shape),
]

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

    merge_within_s: Annotated[int, Field(ge=0, le=86_400)]
    elapsed_at_least_s: Annotated[int, Field(ge=0, le=86_400)]


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

DAY_COUNTS = (QualifiedDays, LongestStreak, LongestMiss, MissedDays)
"""The measures whose figure is a number of days."""


class Standing(Strict):
    """What must hold at one moment, by the last word on it: a membership, a stay.

    Attributes:
        on: the events that say it holds.
        off: the events that say it holds no more; of two at one moment, this word wins.
        at: the moment.
    """

    on: Annotated[tuple[EventName, ...], Field(min_length=1, max_length=8)]
    off: Annotated[tuple[EventName, ...], Field(max_length=8)]
    at: Literal["period_start", "period_end"]

    @model_validator(mode="after")
    def _sound(self) -> "Standing":
        named = [*self.on, *self.off]
        if len(set(named)) != len(named):
            raise ValueError("an event says that something holds, or that it does not")
        if not set(named) <= CATALOGUE.keys() or len({data_class_of(name) for name in named}) != 1:
            raise ValueError("words about one thing are events of one known class")
        return self

    @property
    def data_class(self) -> str:
        """The data class a receipt must permit."""
        return data_class_of(self.on[0])


class Late(Strict):
    """What becomes of evidence that comes after the close.

    Attributes:
        evidence: not taken; or taken, and what it changes is settled as a true-up.
        up_within_days: how long after the close a better answer is still made good.
        down: whether a worse answer takes back what was given, or holds for the future only.
    """

    evidence: Literal["refused", "true_up"] = "refused"
    up_within_days: Annotated[int, Field(ge=0, le=366)] = 0
    down: Literal["future_only", "reversed"] = "future_only"

    @model_validator(mode="after")
    def _sound(self) -> "Late":
        if self.evidence == "refused" and (self.up_within_days or self.down != "future_only"):
            raise ValueError("what is not taken changes nothing")
        return self


class PeriodTerms(Strict):
    """Over which days an answer is, and until when evidence counts.

    Attributes:
        span: how long a period is. A window is named where consent is given, such as the days of a trip.
        zone: IANA zone in which its days begin.
        of_home: whether the subject's own zone, as it was when the period began, takes the place of `zone`.
        close_after_days: how many whole local days after the period late evidence still counts.
        window_days_max: the longest window; 0 for any other span.
    """

    span: Span
    zone: ZoneName
    of_home: bool = False
    close_after_days: Annotated[int, Field(ge=0, le=366)]
    window_days_max: Annotated[int, Field(ge=0, le=366)] = 0

    @model_validator(mode="after")
    def _sound(self) -> "PeriodTerms":
        if (self.span == "window") != (self.window_days_max > 0):
            raise ValueError("a window, and nothing else, says how long it may be")
        return self


class Rule(Strict):
    """A rule: what must hold, what is measured, over which period.

    Attributes:
        language: the version of this language.
        requires: what must hold besides; it adds no answer of its own where something is measured.
        measures: what is measured; every outcome must be so, and at most one tells more than yes.
        period: over which days.
        late: what becomes of late evidence.
        slot_by: the member that numbers the answers of one period, such as a trip's segment; None for one answer.
    """

    language: Literal[2]
    requires: Annotated[tuple[Standing, ...], Field(max_length=4)] = ()
    measures: Annotated[tuple[Measure, ...], Field(max_length=4)] = ()
    period: PeriodTerms
    late: Late = Late()
    slot_by: Literal["segment", "stay"] | None = None

    @model_validator(mode="after")
    def _sound(self) -> "Rule":
        if not self.requires and not self.measures:
            raise ValueError("a rule measures something, or requires something")
        if sum(isinstance(each.outcome, Bands | Reveals) for each in self.measures) > 1:
            raise ValueError("at most one measure tells more than yes")
        named = [self.slot_by in _members(each.events) for each in self.measures]
        if self.slot_by is not None and not (named and all(named)):
            raise ValueError("an answer for each slot is made of events that name it")
        for each in self.measures:
            _require_possible(each, *self.days)
        if max(map(len, self.statements(NAMES[self.span]))) > STATEMENT_SIZE_MAX:
            raise ValueError("an answer would be too long for a claim")
        return self

    @property
    def days(self) -> tuple[int, int]:
        """The fewest and the most days of a period."""
        fewest, most = DAYS_IN[self.period.span]
        return fewest, self.period.window_days_max or most

    @property
    def span(self) -> Span:
        """How long a period is."""
        return self.period.span

    @property
    def zone(self) -> str:
        """IANA zone in which periods begin, where the subject's home does not take its place."""
        return self.period.zone

    @property
    def close_after_days(self) -> int:
        """How many whole local days after the period late evidence still counts."""
        return self.period.close_after_days

    @property
    def rung(self) -> Literal["predicate", "band", "aggregate"]:
        """How revealing one answer is by itself; what several tell together is `linter.told_together`'s to say."""
        outcomes = [each.outcome for each in self.measures]
        if any(isinstance(each, Reveals) for each in outcomes):
            return "aggregate"
        return "band" if any(isinstance(each, Bands) for each in outcomes) else "predicate"

    @cached_property
    def measured_classes(self) -> frozenset[str]:
        """The data classes that are measured."""
        return frozenset(each.data_class for each in self.measures)

    @cached_property
    def standing_classes(self) -> frozenset[str]:
        """The data classes of what holds until it is said to end: what is required, and a home where days are of it."""
        required = frozenset(each.data_class for each in self.requires)
        return required | {HOME} if self.needs_home else required

    @property
    def data_classes(self) -> frozenset[str]:
        """The data classes that a receipt must permit for this rule."""
        return self.measured_classes | self.standing_classes

    @cached_property
    def needs_home(self) -> bool:
        """Whether an answer needs the zone that the subject lives in, from what was told of class `home`."""
        return self.period.of_home or any(each.basis == "subject_home" for each in self.measures)

    @cached_property
    def needs_airport(self) -> bool:
        """Whether an answer needs the zone of an airport, which no event tells and the caller looks up."""
        return any(
            each.basis == "departure_airport" and each.events not in types_of("order.confirmed")
            for each in self.measures
        )

    @cached_property
    def closes_on(self) -> frozenset[str]:
        """The event types that are refused once their period has closed."""
        if self.late.evidence == "true_up":
            return frozenset()
        return frozenset(name for each in self.measures for name in types_of(each.events))

    @cached_property
    def lookback_days(self) -> int:
        """How many days before a period are read."""
        return max((each.lookback_days for each in self.measures), default=0)

    @cached_property
    def reads_to_close(self) -> bool:
        """Whether events after the period speak of it: corrections, removals, or books that are closed later."""
        return any(
            len(types_of(each.events)) > 1 or (isinstance(each, Last) and each.until == "close")
            for each in self.measures
        )

    @property
    def earned_as_it_goes(self) -> bool:
        """Whether a yes is one from the day it is reached, whatever the rest of the period brings."""
        return bool(self.measures) and all(
            isinstance(each, QualifiedDays | LongestStreak | Sum | Max)
            and isinstance(each.outcome, AtLeast)
            and each.day.only_grows
            for each in self.measures
        )

    def spelled_out(self) -> "Rule":
        """Return the rule itself, which is in the whole language already."""
        return self

    def statements(self, period: str) -> tuple[str, ...]:
        """Return every statement that a claim under this rule can make of a period, a revealed figure left open."""
        told: list[list[str]] = [[f"{each.data_class}.active({period})"] for each in self.requires]
        if self.measures:
            told = [_words(each, period) for each in self.measures]
        found = [""]
        for words in told:
            found = [f"{start} and {word}" if start else word for start in found for word in words]
        return tuple(found)


def _require_members(filters: tuple[OneOf | Within | OnOrAfter, ...], events: str) -> None:
    kind = CATALOGUE[events]
    for each in filters:
        known = {OneOf: kind.texts, Within: kind.figures, OnOrAfter: kind.dates}[type(each)]
        if each.member not in known:
            raise ValueError("a filter names a member that such events do not have, or not of that type")


def _members(events: str) -> frozenset[str]:
    return CATALOGUE[events].figures


def _require_possible(measure: Measure, days_min: int, days_max: int) -> None:
    """Refuse bounds that no subject could ever reach, or never miss: somebody meant something else."""
    if isinstance(measure, Last):
        return
    if isinstance(measure, Average) and measure.coverage_at_least > days_min:
        raise ValueError("a short period could never be covered")
    if isinstance(measure, Average | Max):
        most = measure.day_max
    elif isinstance(measure, Sum):
        most = measure.day_max * days_max
    else:
        most = days_max + (0 if isinstance(measure, QualifiedDays | MissedDays) else measure.lookback_days)
    match measure.outcome:
        case AtLeast(at_least=bound) | Equals(equals=bound):
            possible = bound <= most
        case AtMost(at_most=bound):
            possible = bound < most
        case Bands(bands=bounds):
            possible = bounds[-1] <= most
        case _:
            possible = True
    if not possible:
        raise ValueError("a threshold lies where no figure can")
    if isinstance(measure.outcome, AtLeast) and measure.outcome.at_least <= 0 and measure.day.of != "amount":
        raise ValueError("a threshold of nothing is always reached")


def _words(measure: Measure, period: str) -> list[str]:
    """Return what a claim can say of a measure, such as `visit.qualified_days(2027-03) >= 12`."""
    subject = f"{measure.data_class}.{measure.measure}({period})"
    if isinstance(measure, Last):
        subject = f"{measure.data_class}.{measure.of}({period})"
    match measure.outcome:
        case AtLeast(at_least=bound):
            return [f"{subject} >= {bound}"]
        case AtMost(at_most=bound):
            return [f"{subject} <= {bound}"]
        case Equals(equals=bound):
            return [f"{subject} = {bound}"]
        case IsOneOf():
            return [f"{subject} in the rule's list"]
        case Bands(bands=bounds, sent_from=lowest):
            return [f"{subject} in band {band}" for band in range(lowest, len(bounds) + 2)]
        case Reveals():
            return [f"{subject} = "]
