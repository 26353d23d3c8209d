"""The language of rules: one document, read by both partners, with no code in it.

Pure. A rule measures something of a subject's events over a period and says what outcome that has. Each shape is
closed: an unknown member, an impossible bound or a member that an event type does not have is refused when the rule is
read, never when a month closes.

    rule      = requires (what must hold) + measures (1 to 4, all of which must be so) + period + late
    measure   = events, where, sessions -> units -> days -> one figure -> outcome       (`measures`)
    outcome   = at_least | at_most | equals | one_of | bands | reveals                  (`comparing`)

Source: DESIGN section 1 (program), SCENARIOS sections 0 to 5, CONSTRUCTIONS (rules and rewards).
"""

from functools import cached_property
from typing import Annotated, Literal

from pydantic import Field, model_validator

from tallystick_consent.events import CATALOGUE, data_class_of, types_of
from tallystick_consent.fields import Strict
from tallystick_consent.rules.comparing import AtLeast, AtMost, Bands, Equals, EventName, IsOneOf, Reveals
from tallystick_consent.rules.measures import (
    Average,
    Last,
    LongestStreak,
    Max,
    Measure,
    MissedDays,
    QualifiedDays,
    Sum,
    figures_of,
)
from tallystick_consent.rules.periods import DAYS_IN, NAMES, Span, ZoneName

HOME = "home"
"""The data class of events that tell where a subject lives, by time zone alone."""

STATEMENT_SIZE_MAX = 200
"""What a claim's answer holds."""


class Requirement(Strict):
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
    def _sound(self) -> "Requirement":
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
    requires: Annotated[tuple[Requirement, ...], Field(max_length=4)] = ()
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
        named = [self.slot_by in figures_of(each.events) for each in self.measures]
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
    def required_classes(self) -> frozenset[str]:
        """The data classes of what holds until it is said to end: what is required, and a home where days are of it."""
        required = frozenset(each.data_class for each in self.requires)
        return required | {HOME} if self.needs_home else required

    @property
    def data_classes(self) -> frozenset[str]:
        """The data classes that a receipt must permit for this rule."""
        return self.measured_classes | self.required_classes

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
