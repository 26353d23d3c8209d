"""A program tried on past periods before anybody agrees to it: counts over this node's own events, and nothing kept.

Only events are read that lie under a receipt which is in force and permits the program's purpose: trying a rule out is
no new reason to look at what somebody withdrew.

Source: API section 10 (dry run of a program on past months).
"""

import json
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from itertools import groupby
from typing import Any

from sqlalchemy import select

from tallystick import wire
from tallystick_consent.events import JourneyEvent, parse_payload
from tallystick_consent.program import Program, parse_program
from tallystick_consent.receipts.purposes import COVERED_BY
from tallystick_consent.rules import NO_ZONES, PastPeriod, Period, Zones, dry_run, home_zone_name, privacy_cost
from tallystick_ledger.errors import BadInput, PayloadErased
from tallystick_node.errors import AskedTooMuch
from tallystick_node.flows.events import open_event
from tallystick_node.flows.programs import zone_named, zone_of
from tallystick_node.node import Node
from tallystick_node.storage.tables import EVENTS, RECEIPTS

EVENTS_MAX = 50_000
"""How many events one run opens at most: some seconds' work."""


def try_program(node: Node, body: wire.TryProgram) -> wire.TriedProgram:
    """Return what a program would have said of past periods, over all subjects together.

    Events count as if each had come in time, since what is tried is the rule and not when files arrived; days and
    closes of a home are read in the zone of each subject, periods begin in the program's.

    Raises:
        ProgramRejected, BadInput: not a program, or a period is not of its span, or not over.
        AskedTooMuch: more events than one run opens.
    """
    program = parse_program(body.program)
    zone = zone_of(program)
    periods = [program.period(name, zone=zone) for name in dict.fromkeys(body.periods)]
    if any(period.end_s > node.now_s() for period in periods):
        raise BadInput("A period is not over yet, by this node's clock.", remedy="Name periods that are over.")
    mine = _condition(program, periods, issuer=node.host)
    found = select(EVENTS, RECEIPTS.c.terms).join(RECEIPTS, RECEIPTS.c.id == EVENTS.c.receipt).where(*mine)
    rows = node.rows(found.order_by(EVENTS.c.subject, EVENTS.c.at_s).limit(EVENTS_MAX + 1))
    if len(rows) > EVENTS_MAX:
        raise AskedTooMuch(f"A program is tried on at most {EVENTS_MAX} events.", remedy="Name fewer periods at once.")
    histories = list(_histories(node, [each for each in rows if _permits(each.terms, program.purpose)]))
    tried = [
        dry_run(
            program.rule,
            _read_for(program, period, histories, issuer=node.host),
            period=period,
            zones_of=_zones_of(program),
        )
        for period in periods
    ]
    cost = privacy_cost(program.rule)
    return wire.TriedProgram(learns=cost.learns, silence=cost.silence, periods=tuple(_shown(each) for each in tried))


def _condition(program: Program, periods: Sequence[Period], *, issuer: str) -> tuple[Any, ...]:
    """Return which rows a run may read: under a live receipt, not corrected, of its classes, near its periods."""
    asks = [program.ask(each, issuer=issuer) for each in periods]
    rule = program.rule.spelled_out()
    near = (
        EVENTS.c.data_class.in_(sorted(rule.measured_classes)),
        EVENTS.c.at_s >= min(each.events_from_s for each in asks),
    )
    standing = EVENTS.c.data_class.in_(sorted(rule.required_classes))
    until = EVENTS.c.at_s < max(each.events_until_s for each in asks)
    counts = EVENTS.c.corrected_by.is_(None)
    return (RECEIPTS.c.live_leaf.is_not(None), counts, until, standing | (near[0] & near[1]))


@lru_cache(maxsize=4_096)
def _permits(terms: str, purpose: str) -> bool:
    """Return whether a receipt permits a purpose."""
    return not COVERED_BY.get(purpose, frozenset()).isdisjoint(json.loads(terms)["purposes"])


def _histories(node: Node, rows: Sequence[Any]) -> Iterator[list[JourneyEvent]]:
    """Yield each subject's events, opened one subject after the other; what was erased is not there.

    Args:
        rows: of one subject after the other.
    """
    for _, of_one in groupby(rows, key=lambda row: str(row.subject)):
        opened: list[JourneyEvent] = []
        for row in of_one:
            try:
                opened.append(parse_payload(open_event(node, row).payload))
            except PayloadErased:
                continue
        yield opened


def _read_for(
    program: Program, period: Period, histories: Sequence[list[JourneyEvent]], *, issuer: str
) -> Iterator[list[JourneyEvent]]:
    """Yield of each history what the close of that period would read."""
    asked = program.ask(period, issuer=issuer)
    standing = program.rule.spelled_out().required_classes
    for events in histories:
        yield [
            each
            for each in events
            if each.data_class in standing or asked.events_from_s <= each.started_at.timestamp() < asked.events_until_s
        ]


def _zones_of(program: Program) -> Callable[[Sequence[JourneyEvent], Period], Zones]:
    needs_home = program.rule.spelled_out().needs_home

    def zones_of(events: Sequence[JourneyEvent], period: Period) -> Zones:
        name = home_zone_name(events, at_s=period.start_s) if needs_home else None
        return NO_ZONES if name is None else Zones(home=zone_named(name))

    return zones_of


def _shown(tried: PastPeriod) -> wire.TriedPeriod:
    return wire.TriedPeriod(
        period=tried.period,
        subjects=tried.subjects,
        answers=tried.answers,
        bands={str(band): count for band, count in tried.bands.items()},
        counted=tried.counted,
        not_counted=tried.not_counted,
        flags=tried.flags,
    )
