"""A rule over the events of a period: one answer, with how many inputs counted and why the others did not.

Pure. Days are local to what the rule's basis says, elapsed time is elapsed, averages are compared exactly, and the
same events give the same answer in whatever order they come.

Source: SCENARIOS sections 0, 1 and 3, DESIGN section 1 (program).
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta

from tallystick_consent.events import JourneyEvent, figure_of, types_of
from tallystick_consent.rules.comparing import AtLeast, AtMost, Bands, Equals, IsOneOf, Reveals
from tallystick_consent.rules.days import NO_ZONES, Left, Unit, Zones, day_figures, events_of, leave, matches, told_of
from tallystick_consent.rules.first import AnyRule
from tallystick_consent.rules.language import Requirement
from tallystick_consent.rules.measures import (
    Average,
    Last,
    LongestMiss,
    LongestStreak,
    Max,
    Measure,
    MissedDays,
    QualifiedDays,
    Sum,
)
from tallystick_consent.rules.periods import Period, dates_of
from tallystick_ledger.errors import BadInput

ASSURANCES = ("device_inconsistent", "device", "device_attested", "operator")
"""How sure a source is of what it tells, least first."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The answer of a rule, and why.

    Attributes:
        satisfied: whether there is something to tell: a yes, a band that is sent, or a figure.
        figure: what was measured, rounded down; of several measures, the one that tells more than yes, or the first.
            This never leaves the node but where the rule reveals it.
        assurance: for visits, what saw them: `turnstile`, `geofence` or `mixed`; else how sure the least sure source
            behind the answer is; "" where nothing counted.
        counted: how many events stand behind the answer.
        not_counted: how many events do not count, by the reason.
        band: which band, from 1; None where the rule has none, or there is no answer.
        flags: what a person should look at, by how often: `implausible` days, which count for no more than the cap.
    """

    satisfied: bool
    figure: int
    assurance: str
    counted: int
    not_counted: dict[str, int]
    band: int | None = None
    flags: dict[str, int] = field(default_factory=dict[str, int])


@dataclass(slots=True)
class _Found:
    """What one measure comes to; the figure is `total` over `count`."""

    is_so: bool
    total: int
    count: int
    band: int | None
    behind: list[JourneyEvent]
    left: Left
    over_cap: int = 0


def evaluate(
    rule: AnyRule,
    events: Iterable[JourneyEvent],
    *,
    period: Period,
    zones: Zones = NO_ZONES,
    slot: int = 0,
) -> Evaluation:
    """Return the rule's answer for a period.

    Args:
        rule: what to measure.
        events: the subject's events in the permitted range, and the words on what must hold since the receipt's
            beginning; in any order. Those that do not count are left out with a reason. One that carries when it was
            recorded counts only if that was before the period's close.
        period: the period, of the rule's span.
        zones: zones that are the subject's own, where the rule's basis asks for one.
        slot: which answer, where the rule numbers them; see `slots_of`.
    """
    plan = rule.spelled_out()
    # The same entry twice, as when two questions read one range, is one.
    distinct = list({event.id: event for event in events}.values())
    numbered = None if plan.slot_by is None else (plan.slot_by, slot)
    found = [_found(each, distinct, period, zones, numbered) for each in plan.measures]
    words = [_last_word(each, distinct, period) for each in plan.requires]
    missing = [
        required.data_class
        for required, word in zip(plan.requires, words, strict=True)
        if word is None or word.type not in required.on
    ]
    if not found:
        return _required_alone(words, missing)
    behind, left = _together(found)
    if missing:
        leave(behind, f"{missing[0]}_not_active", left)
    told = next((each for each in found if each.band is not None), found[0])
    over_cap = sum(each.over_cap for each in found)
    satisfied = not missing and all(each.is_so for each in found)
    return Evaluation(
        satisfied=satisfied,
        figure=told.total // told.count,
        assurance=_assurance(behind),
        counted=0 if missing else len(behind),
        not_counted=dict(Counter(left.values())),
        band=told.band if satisfied else None,
        flags={"implausible": over_cap} if over_cap else {},
    )


def slots_of(rule: AnyRule, events: Iterable[JourneyEvent]) -> tuple[int, ...]:
    """Return the numbers of the answers that a rule has over these events, rising; 0 alone where it has just one."""
    plan = rule.spelled_out()
    if plan.slot_by is None:
        return (0,)
    types = {name for each in plan.measures for name in types_of(each.events)}  # what corrects an event tells of it too
    return tuple(sorted({int(event.data[plan.slot_by]) for event in events if event.type in types}))


def statement_of(rule: AnyRule, period: str, found: Evaluation) -> str:
    """Return what a claim says of a true answer, in words of the rule.

    Raises:
        BadInput: the answer is not true, so there is nothing to say.
    """
    if not found.satisfied:
        raise BadInput("An answer that is not true says nothing.", remedy="Issue claims for true answers only.")
    plan = rule.spelled_out()
    for measure in plan.measures:
        if isinstance(measure.outcome, Reveals):
            return plan.statements(period)[0] + str(found.figure)
        if isinstance(measure.outcome, Bands):
            assert found.band is not None, "a true answer of a band table lies in a band"
            return plan.statements(period)[found.band - measure.outcome.sent_from]
    return plan.statements(period)[0]


@dataclass(frozen=True, slots=True)
class Heard:
    """What a recipient takes from a claim's statement.

    Attributes:
        band: which band, from 1; None where the rule has none.
        figure: the figure, where the rule reveals it; else None.
    """

    band: int | None = None
    figure: int | None = None


def read_statement(rule: AnyRule, period: str, statement: str) -> Heard:
    """Return what a statement says under a rule, once it is one that the rule can make.

    Raises:
        BadInput: the rule cannot say that of that period.
    """
    plan = rule.spelled_out()
    possible = plan.statements(period)
    for measure in plan.measures:
        if isinstance(measure.outcome, Reveals):
            text = statement.removeprefix(possible[0])
            if statement != text and _is_integer(text):
                return Heard(figure=int(text))
            raise _unheard()
    if statement not in possible:
        raise _unheard()
    for measure in plan.measures:
        if isinstance(measure.outcome, Bands):
            return Heard(band=measure.outcome.sent_from + possible.index(statement))
    return Heard()


def _is_integer(text: str) -> bool:
    digits = text.removeprefix("-")
    return 0 < len(digits) <= 16 and digits.isascii() and digits.isdigit() and str(int(text)) == text


def _unheard() -> BadInput:
    return BadInput("A claim does not say what its rule can say.", remedy="Answer in the words of the rule.")


def _found(
    measure: Measure,
    events: Sequence[JourneyEvent],
    period: Period,
    zones: Zones,
    slot: tuple[str, int] | None,
) -> _Found:
    told = told_of(measure, events, period=period, zones=zones, slot=slot)
    if isinstance(measure, Last):
        return _last(measure, told.units, told.left_out, period)
    figures, over_cap = day_figures(measure, told.units)
    days = _days_of(period)
    match measure:
        case QualifiedDays() | LongestStreak() | LongestMiss() | MissedDays():
            found = _days_that_qualify(measure, told.units, told.left_out, figures, days)
        case Sum():
            found = _judged(measure, sum(figures.values()), 1, told.units, told.left_out)
        case Max():
            found = _judged(measure, max(figures.values(), default=0), 1, told.units, told.left_out)
        case Average():
            found = _average(measure, told.units, told.left_out, figures, days)
    found.over_cap = over_cap
    # Where nothing was told, nothing is answered: neither "at most" nor a lowest band is reached by silence.
    found.is_so = found.is_so and bool(told.units)
    return found


def _judged(measure: Measure, total: int, count: int, units: Iterable[Unit], left: Left) -> _Found:
    is_so, band = _outcome(measure, total, count)
    return _Found(is_so, total, count, band, list(events_of(units)), left)


def _outcome(measure: Measure, total: int, count: int) -> tuple[bool, int | None]:
    """Return whether the figure `total / count` is so, and its band; compared without dividing."""
    match measure.outcome:
        case AtLeast(at_least=bound):
            return total >= bound * count, None
        case AtMost(at_most=bound):
            return total <= bound * count, None
        case Equals(equals=bound):
            return total == bound * count, None
        case Bands(bands=bounds, sent_from=lowest):
            band = 1 + sum(total >= bound * count for bound in bounds)
            return band >= lowest, band
        case Reveals() | IsOneOf():
            return True, None


def _days_that_qualify(
    measure: QualifiedDays | LongestStreak | LongestMiss | MissedDays,
    units: list[Unit],
    left: Left,
    figures: dict[date, int],
    days: tuple[date, int],
) -> _Found:
    first, length = days
    good = {day for day, figure in figures.items() if figure >= measure.day_at_least}
    if isinstance(measure, QualifiedDays | LongestStreak):
        behind = [unit for unit in units if unit.day in good]
        leave(events_of(unit for unit in units if unit.day not in good), "day_not_enough", left)
    else:
        behind = units
    match measure:
        case QualifiedDays():
            figure = len(good)
        case MissedDays():
            figure = length - len(good)
        case LongestStreak() | LongestMiss():
            wanted = isinstance(measure, LongestStreak)
            # Before the period, a day that nobody told of is no miss: there may have been no consent to tell of it.
            known = good if wanted else figures.keys() - good
            before = [first + timedelta(days=offset) in known for offset in range(-measure.lookback_days, 0)]
            within = [(first + timedelta(days=offset) in good) == wanted for offset in range(length)]
            figure = _longest_run(before, within)
    return _judged(measure, figure, 1, behind, left)


def _longest_run(before: Sequence[bool], within: Sequence[bool]) -> int:
    """Return the most days in a row, of the runs that reach into the period."""
    longest = run = 0
    for is_so in before:
        run = run + 1 if is_so else 0
    for is_so in within:
        run = run + 1 if is_so else 0
        longest = max(longest, run)
    return longest


def _average(
    measure: Average, units: list[Unit], left: Left, figures: dict[date, int], days: tuple[date, int]
) -> _Found:
    if measure.zero_is == "not_told":
        leave(events_of(unit for unit in units if figures[unit.day] == 0), "not_told", left)
        units = [unit for unit in units if figures[unit.day] != 0]
        figures = {day: figure for day, figure in figures.items() if figure}
    if len(figures) < measure.coverage_at_least:
        leave(events_of(units), "coverage_too_low", left)
        return _Found(False, 0, 1, None, [], left)
    count = days[1] if measure.divide_by == "days_in_period" else len(figures)
    return _judged(measure, sum(figures.values()), count, units, left)


def _last(measure: Last, units: list[Unit], left: Left, period: Period) -> _Found:
    events = sorted({unit.events[0].id: unit.events[0] for unit in units}.values(), key=_moment)
    if not events:
        return _Found(False, 0, 1, None, [], left)
    last = events[-1]
    leave(events[:-1], "not_the_last", left)
    if not matches(measure.also, last, period):
        leave([last], "not_as_required", left)
        return _Found(False, 0, 1, None, [], left)
    if isinstance(measure.outcome, IsOneOf):
        return _Found(last.data[measure.of] in measure.outcome.one_of, 0, 1, None, [last], left)
    return _judged(measure, figure_of(last, measure.of), 1, [Unit(last.started_at.date(), 0, [last])], left)


def _moment(event: JourneyEvent) -> tuple[float, str]:
    return event.started_at.timestamp(), event.id


def _last_word(required: Requirement, events: Iterable[JourneyEvent], period: Period) -> JourneyEvent | None:
    until_s = period.start_s if required.at == "period_start" else period.end_s
    heard = [event for event in events if event.type in required.on or event.type in required.off]
    # At the start itself it holds already; at the end, what is said in the first moment after it is not heard.
    in_time = [
        event
        for event in heard
        if event.started_at.timestamp() < until_s
        or (required.at == "period_start" and event.started_at.timestamp() == until_s)
    ]
    # Of two words at one moment, the one that ends it holds.
    return max(
        in_time, key=lambda each: (each.started_at.timestamp(), each.type in required.off, each.id), default=None
    )


def _required_alone(words: list[JourneyEvent | None], missing: list[str]) -> Evaluation:
    heard = [word for word in words if word is not None]
    left = {f"{missing[0]}_not_active": len(heard)} if missing and heard else {}
    behind = [] if missing else heard
    return Evaluation(not missing, 0, _assurance(behind), len(behind), left)


def _together(found: Sequence[_Found]) -> tuple[list[JourneyEvent], Left]:
    """Return the events that count for any measure, and those that count for none, by the first reason given."""
    behind = {event.id: event for each in found for event in each.behind}
    left: Left = {}
    for each in found:
        left = each.left | left
    return list(behind.values()), {event: reason for event, reason in left.items() if event not in behind}


def _days_of(period: Period) -> tuple[date, int]:
    first, last = dates_of(period.name)
    return first, (last - first).days + 1


def _assurance(events: Sequence[JourneyEvent]) -> str:
    if not events:
        return ""
    if all(event.type == "visit.ended" for event in events):
        sources = {str(event.data["source"]) for event in events}
        return sources.pop() if len(sources) == 1 else "mixed"
    return min((str(event.data.get("assurance", "operator")) for event in events), key=ASSURANCES.index)
