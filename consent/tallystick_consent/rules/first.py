"""The first form of a rule: qualifying days of visits in a calendar month, and whether they are enough.

Pure. Its documents are agreed on, signed and digested, so its members stay as they are. It has no evaluation of its
own: it is a short way to write one rule of the language, and `spelled_out` writes that rule.

Source: SCENARIOS section 1.
"""

from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from tallystick_consent.fields import Strict
from tallystick_consent.rules.comparing import AtLeast, OneOf, names_in
from tallystick_consent.rules.language import PeriodTerms, Requirement, Rule
from tallystick_consent.rules.measures import DayFigure, QualifiedDays, Sessions
from tallystick_consent.rules.periods import Span, ZoneName
from tallystick_ledger.times import DAY_S


class Filter(Strict):
    """Keep only events whose data member is one of the values."""

    member: Literal["facility", "source", "assurance"]
    one_of: Annotated[tuple[Annotated[str, Field(max_length=80)], ...], Field(min_length=1, max_length=1_000)]


class VisitDays(Strict):
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
    merge_within_s: Annotated[int, Field(ge=0, le=DAY_S)]
    day_basis: Literal["facility_local"]
    day_min_elapsed_s: Annotated[int, Field(ge=0, le=DAY_S)]
    measure: Literal["qualified_days"]
    at_least: Annotated[int, Field(ge=1, le=31)]
    period: Literal["calendar_month"]
    zone: ZoneName
    close_day: Annotated[int, Field(ge=1, le=28)]
    requires_active: Literal["membership"] | None = None

    def spelled_out(self) -> Rule:
        """Return the rule of the language that this is a short form of."""
        return self._rule

    @cached_property
    def _rule(self) -> Rule:
        standing = self.requires_active
        return Rule(
            language=2,
            requires=()
            if standing is None
            else (Requirement(on=(f"{standing}.activated",), off=(f"{standing}.ended",), at="period_end"),),
            measures=(
                QualifiedDays(
                    measure="qualified_days",
                    events=self.events,
                    where=tuple(OneOf(member=each.member, one_of=each.one_of) for each in self.where),
                    basis=self.day_basis,
                    sessions=Sessions(merge_within_s=self.merge_within_s, elapsed_at_least_s=self.day_min_elapsed_s),
                    day=DayFigure(take="count"),
                    day_at_least=1,
                    outcome=AtLeast(at_least=self.at_least),
                ),
            ),
            period=PeriodTerms(span=self.period, zone=self.zone, close_after_days=self.close_day),
        )

    @property
    def span(self) -> Span:
        """How long a period is."""
        return self.period

    @property
    def close_after_days(self) -> int:
        """How many whole local days after the period late evidence still counts."""
        return self.close_day

    @property
    def data_classes(self) -> frozenset[str]:
        """The data classes that a receipt must permit for this rule."""
        return self._rule.data_classes

    def statement(self, period: str) -> str:
        """Return what a claim under this rule says, in words of the rule."""
        return self._rule.statements(period)[0]


def _form(document: Any) -> str:
    return "in the language" if "language" in names_in(document) else "in the first form"


AnyRule = Annotated[
    Annotated[VisitDays, Tag("in the first form")] | Annotated[Rule, Tag("in the language")], Discriminator(_form)
]
"""A rule in either form; a document that names a language is in the language."""
