"""From events to days: what is told of a period, each thing once, each on its day.

Pure. Every step leaves out what does not count, and says why; what is left stands on a day with its figure. The order
in which events come changes nothing.

    of its type -> in time -> of its slot -> as it stands now -> filtered -> sessions -> on its day -> one source a day

Source: SCENARIOS section 0 (day basis), 1 (sessions), 3 (sources, entries by hand).
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta, tzinfo

from tallystick_consent.events import CATALOGUE, JourneyEvent, figure_of, figure_reader, identity_of, types_of
from tallystick_consent.rules.comparing import OneOf, OnOrAfter, Within
from tallystick_consent.rules.language import Rule
from tallystick_consent.rules.measures import RUNS_OF_DAYS, DayMeasure, Last, Sessions
from tallystick_consent.rules.periods import FIRST_ZONE, LAST_ZONE, Period, dates_of

Left = dict[str, str]
"""Which events were left out, and why: by their ids, the first reason found."""


@dataclass(frozen=True, slots=True)
class Zones:
    """Zones that are a subject's own, looked up by the caller; None where they are not known.

    Attributes:
        home: where the subject lived when the period began (`home_zone_name`).
        departure: that of the airport the subject leaves from.
    """

    home: tzinfo | None = None
    departure: tzinfo | None = None


NO_ZONES = Zones()


@dataclass(slots=True)
class Unit:
    """What stands on a day: an event, or several that are one session.

    Attributes:
        day: its local day.
        figure: what it counts for.
        events: what it is made of.
    """

    day: date
    figure: int
    events: list[JourneyEvent]


@dataclass(slots=True)
class Told:
    """What counts of a period, and what does not.

    Attributes:
        units: what stands on a day of the period, or of the days looked back on.
        left_out: which events do not count, and why.
    """

    units: list[Unit]
    left_out: Left


def home_zone_name(events: Iterable[JourneyEvent], *, at_s: int) -> str | None:
    """Return the zone a subject lived in at a moment, by the last word before or at it; None where none was said.

    Args:
        events: those of the subject, in any order.
        at_s: the period's first moment: a move within a period changes the next.
    """
    words = [
        (event.started_at, str(event.data["time_zone"]))
        for event in events
        if event.type == "home.set" and event.started_at.timestamp() <= at_s
    ]
    return max(words)[1] if words else None


DayReader = Callable[[JourneyEvent], tuple[date, ...]]
"""From an event to its day; to two where either counts; to none where a zone that it needs is not known."""


def day_reader(basis: str, zones: Zones) -> DayReader:
    """Return how a basis reads an event's local day."""
    match basis:
        case "posting_date":
            return lambda event: (date.fromisoformat(event.data["on"]),)
        case "departure_scheduled":
            return lambda event: (_day_of(event, "scheduled_at"),)
        case "departure_either":
            return lambda event: tuple(sorted({_day_of(event, "scheduled_at"), _day_of(event, "departs_at")}))
        case "departure_airport":
            return lambda event: (
                (_day_of(event, "departs_at"),) if "departs_at" in event.data else _day_in(zones.departure, event)
            )
        case "subject_home":
            return lambda event: _day_in(zones.home, event)
        case _:  # facility_local, store_local: the offset of the event's own place
            return lambda event: (event.started_at.date(),)


def day_on(event: JourneyEvent, basis: str, zones: Zones) -> tuple[date, ...]:
    """Return the local day of an event in a basis; two where either counts; none where a zone it needs is not known."""
    return day_reader(basis, zones)(event)


def days_touched(event: JourneyEvent, rule: Rule, *, zone: tzinfo) -> tuple[date, date]:
    """Return the first and the last day on which a rule may count an event, wherever its subject may live.

    What no measure puts on a day, such as a membership or the removal of a line, stands on that of its own moment.

    Args:
        zone: the one the rule names.
    """
    days: set[date] = set()
    if not CATALOGUE[event.type].removes:
        for basis in (each.basis for each in rule.measures if event.type in types_of(each.events)):
            for somewhere in (FIRST_ZONE, LAST_ZONE):
                days.update(day_on(event, basis, Zones(home=somewhere, departure=somewhere)))
    days = days or {event.started_at.date(), event.started_at.astimezone(zone).date()}
    return min(days), max(days)


def _day_of(event: JourneyEvent, member: str) -> date:
    return datetime.fromisoformat(event.data[member]).date()


def _day_in(zone: tzinfo | None, event: JourneyEvent) -> tuple[date, ...]:
    """Return the day of an event in a zone.

    A whole day told by a tracker falls on the day that holds most of it; anything else on the day it starts.
    """
    if zone is None:
        return ()
    moment = event.started_at
    if CATALOGUE[event.type].of == "steps.day_closed":
        moment += (event.ended_at - moment) / 2
    return (moment.astimezone(zone).date(),)


def told_of(
    measure: DayMeasure | Last,
    events: Iterable[JourneyEvent],
    *,
    period: Period,
    zones: Zones,
    slot: tuple[str, int] | None,
) -> Told:
    """Return what counts of a period for one measure, and what does not.

    Args:
        measure: what is asked.
        events: the subject's, each once, in any order.
        period: the period, whose close is the last moment at which evidence counts.
        zones: the subject's own zones.
        slot: the member that numbers answers, and the number asked for; None where there is one answer.
    """
    left: Left = {}
    types = types_of(measure.events)
    chosen = [event for event in events if event.type in types]
    late = [event for event in chosen if not _in_time(event, period)]
    if late:
        then = told_of(measure, [_as_if_in_time(each) for each in chosen], period=period, zones=zones, slot=slot)
        leave(_of_another_period(late, chosen, then.left_out), "outside_period", left)
        leave(late, "after_close", left)
        chosen = [event for event in chosen if _in_time(event, period)]
    if slot is not None:
        chosen = _keep(chosen, [event.data.get(slot[0]) == slot[1] for event in chosen], "other_slot", left)
    if CATALOGUE[measure.events].identity:
        chosen = _as_they_stand(chosen, left)
    if measure.where:
        chosen = _keep(chosen, [matches(measure.where, event, period) for event in chosen], "filtered_out", left)
    sessions = None if isinstance(measure, Last) else measure.sessions
    if sessions is None:
        day_of = day_reader(measure.basis, zones)
        placed = [(event, day_of(event)) for event in chosen]
        units = [Unit(day, 0, [event]) for event, days in placed for day in days]
        leave((event for event, days in placed if not days), "zone_unknown", left)
    else:
        units = _sessions(chosen, sessions, measure.basis, zones, left)
    units = _in_period(units, measure, period, left)
    if sessions is not None:
        units = _long_enough(units, sessions, left)
    if not isinstance(measure, Last):
        units = _with_figures(units, measure, left)
    return Told(units, left)


def matches(filters: Sequence[OneOf | Within | OnOrAfter], event: JourneyEvent, period: Period) -> bool:
    """Return whether an event passes every filter."""
    for each in filters:
        if isinstance(each, OneOf):
            passes = event.data[each.member] in each.one_of
        elif isinstance(each, Within):
            figure = figure_of(event, each.member)
            passes = (each.at_least is None or figure >= each.at_least) and (
                each.at_most is None or figure <= each.at_most
            )
        else:
            first, last = dates_of(period.name)
            passes = date.fromisoformat(event.data[each.member]) >= (first if each.on_or_after == "first_day" else last)
        if not passes:
            return False
    return True


def _keep(events: list[JourneyEvent], holds: list[bool], reason: str, left: Left) -> list[JourneyEvent]:
    leave((event for event, is_so in zip(events, holds, strict=True) if not is_so), reason, left)
    return [event for event, is_so in zip(events, holds, strict=True) if is_so]


def _in_time(event: JourneyEvent, period: Period) -> bool:
    return event.recorded_at_s is None or event.recorded_at_s < period.close_s


def _as_if_in_time(event: JourneyEvent) -> JourneyEvent:
    return replace(event, recorded_at_s=None)


def _of_another_period(late: list[JourneyEvent], among: list[JourneyEvent], left: Left) -> Iterator[JourneyEvent]:
    """Yield what came after a period's close and is about another one, since more is read than the period itself.

    What tells the same thing as another event may take that out of the period, and is about both.

    Args:
        left: which would be left out, and why, if all had come in time.
    """
    tellings = Counter(identity_of(event) for event in among)
    for event in late:
        stands_alone = identity_of(event) is None or tellings[identity_of(event)] == 1
        if stands_alone and left.get(event.id) == "outside_period":
            yield event


def _as_they_stand(events: Iterable[JourneyEvent], left: Left) -> list[JourneyEvent]:
    """Return one event for each thing that was told: the highest revision, and none where that removes it.

    Where two tell the same with the same revision, one alone counts: the one with the larger figure, since the usual
    second telling is a fuller one, and then by its id, so that no order decides.
    """
    groups: dict[tuple[object, ...] | None, list[JourneyEvent]] = {}
    for event in events:
        groups.setdefault(identity_of(event), []).append(event)
    standing: list[JourneyEvent] = []
    for group in groups.values():
        if len(group) == 1 and not CATALOGUE[group[0].type].removes:
            standing.append(group[0])
            continue
        last = max(group, key=_precedence)
        if CATALOGUE[last.type].removes:
            leave(group, "removed", left)
            continue
        standing.append(last)
        others = [event for event in group if event is not last]
        leave((event for event in others if _precedence(event)[0] == _precedence(last)[0]), "repeated", left)
        leave(others, "superseded", left)
    return standing


def _precedence(event: JourneyEvent) -> tuple[int, bool, int, str]:
    kind = CATALOGUE[event.type]
    figures = [event.data[name] for name in ("steps", "amount") if name in kind.figures]
    return int(event.data.get("revision", 0)), kind.removes, int(figures[0]) if figures else 0, event.id


@dataclass(slots=True)
class _Session:
    """Events that are one: when it began, how long something was there, what saw it."""

    started_at: datetime
    until: datetime
    present_s: float
    events: list[JourneyEvent]


def _merged(events: Iterable[JourneyEvent], *, within_s: int) -> list[_Session]:
    sessions: list[_Session] = []
    for event in sorted(events, key=lambda each: (each.started_at, each.ended_at, each.id)):
        last = sessions[-1] if sessions else None
        if last is None or (event.started_at - last.until).total_seconds() >= within_s:
            elapsed_s = (event.ended_at - event.started_at).total_seconds()
            sessions.append(_Session(event.started_at, event.ended_at, elapsed_s, [event]))
            continue
        # Time that two devices both saw is counted once; time that none saw is not counted at all.
        seen_from = max(event.started_at, last.until)
        last.present_s += max(0.0, (event.ended_at - seen_from).total_seconds())
        last.until = max(last.until, event.ended_at)
        last.events.append(event)
    return sessions


def _sessions(events: Iterable[JourneyEvent], terms: Sessions, basis: str, zones: Zones, left: Left) -> list[Unit]:
    units: list[Unit] = []
    day_of = day_reader(basis, zones)
    for session in _merged(events, within_s=terms.merge_within_s):
        days = day_of(session.events[0])
        if not days:
            leave(session.events, "zone_unknown", left)
        units += (Unit(day, int(session.present_s), session.events) for day in days)
    return units


def _in_period(units: list[Unit], measure: DayMeasure | Last, period: Period, left: Left) -> list[Unit]:
    first, last = dates_of(period.name)
    if isinstance(measure, Last) and measure.until == "close":
        kept = [unit for unit in units if unit.events[0].started_at.timestamp() < period.close_s]
        kept = [unit for unit in kept if unit.day >= first - timedelta(days=measure.lookback_days)]
    else:
        # A run of days, or the last word, may reach back; a sum may not.
        reaches_back = measure.lookback_days and isinstance(measure, (*RUNS_OF_DAYS, Last))
        from_day = first - timedelta(days=measure.lookback_days) if reaches_back else first
        kept = [unit for unit in units if from_day <= unit.day <= last]
    if len(kept) != len(units):
        inside = {event.id for event in events_of(kept)}
        leave((event for event in events_of(units) if event.id not in inside), "outside_period", left)
    return kept


def _long_enough(units: list[Unit], terms: Sessions, left: Left) -> list[Unit]:
    leave(events_of(unit for unit in units if unit.figure < terms.elapsed_at_least_s), "too_short", left)
    return [unit for unit in units if unit.figure >= terms.elapsed_at_least_s]


def _with_figures(units: list[Unit], measure: DayMeasure, left: Left) -> list[Unit]:
    day = measure.day
    if day.of is not None and measure.sessions is None:
        figure_in, per_full, without_manual = figure_reader(day.of), day.per_full, day.without_manual
        for unit in units:
            event = unit.events[0]
            unit.figure = figure_in(event)
            if without_manual:
                unit.figure -= int(event.data["manual_steps"])
            if per_full is not None:
                unit.figure = max(0, unit.figure // per_full)
    return units if day.sources is None else _best_of_each_day(units, day.sources, left)


def _best_of_each_day(units: list[Unit], sources: Sequence[str], left: Left) -> list[Unit]:
    """Return one unit for each day, of the first source that told it.

    A source that told a day twice, as when the subject crossed the date line, is one as well: the larger figure counts.
    """
    rank = {source: at for at, source in enumerate(sources)}
    named: dict[date, list[tuple[tuple[int, int, str], Unit]]] = {}
    for unit in units:
        event = unit.events[0]
        place = rank.get(event.data["source"])
        if place is None:
            leave(unit.events, "other_source", left)
        else:
            named.setdefault(unit.day, []).append(((-place, unit.figure, event.id), unit))
    best: list[Unit] = []
    for told in named.values():
        chosen = told[0] if len(told) == 1 else max(told, key=_precedence_of)
        best.append(chosen[1])
        leave(events_of(unit for _, unit in told if unit is not chosen[1]), "other_source", left)
    return best


def _precedence_of(told: tuple[tuple[int, int, str], Unit]) -> tuple[int, int, str]:
    return told[0]


def day_figures(measure: DayMeasure, units: Iterable[Unit]) -> tuple[dict[date, int], int]:
    """Return each told day's figure, capped, and how many days were over the cap."""
    found: dict[date, int] = {}
    take, cap = measure.day.take, measure.day.cap
    for unit in units:
        if take == "max":
            found[unit.day] = max(found.get(unit.day, unit.figure), unit.figure)
        else:
            found[unit.day] = found.get(unit.day, 0) + (1 if take == "count" else unit.figure)
    if cap is None:
        return found, 0
    over = sum(figure > cap for figure in found.values())
    return ({day: min(figure, cap) for day, figure in found.items()} if over else found), over


def leave(events: Iterable[JourneyEvent], reason: str, left: Left) -> None:
    """Note that events do not count, and why; the first reason noted stays."""
    for event in events:
        left.setdefault(event.id, reason)


def events_of(units: Iterable[Unit]) -> Iterator[JourneyEvent]:
    """Yield every event that units are made of."""
    for unit in units:
        yield from unit.events
