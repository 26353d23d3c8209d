"""What answers are found from: the permitted events of the receipts that are due, and the period as each lives it.

For many receipts at once, since at the end of a month there are many: their events, their subjects' keys and standings
are each read in one statement. What a permit does not cover stays sealed, whatever was read beside it.

Source: DESIGN flow 4, SCENARIOS 1.14.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from tallystick_consent.decide import Ask, Permit, Reason, Refusal, decide
from tallystick_consent.events import JourneyEvent
from tallystick_consent.program import Program
from tallystick_consent.receipts.authority import is_covered
from tallystick_consent.receipts.receipt import Receipt
from tallystick_consent.rules import NO_ZONES, Period, Zones, home_zone_name
from tallystick_node.flows.events import open_permitted, sealed_events
from tallystick_node.flows.people.standings import NEEDS_GUARDIAN, NEEDS_OWN, standings_of
from tallystick_node.flows.programs import zone_named, zone_of
from tallystick_node.flows.receipts.resources import names_of
from tallystick_node.flows.receipts.rows import GUARDIAN
from tallystick_node.log.transaction import Transaction
from tallystick_node.node import Node

ANSWERED_BEFORE = Refusal((Reason("answered_before", "an answer about a period that no earlier link answered"),))
"""Under another link the same slot has another nullifier, and the payer may know the subject under another id: only
here is it known that it would be paid twice (P7). The partner sees silence, which tells nothing of who came back."""


class Slot(NamedTuple):
    """A period of a receipt: what one claim answers, and no second one.

    Attributes:
        row: the receipt, with the subject of its link.
        receipt: the same, as `decide` takes it.
        program: the receipt's.
        period: its name.
    """

    row: Any
    receipt: Receipt
    program: Program
    period: str


class PeriodRead(NamedTuple):
    """What a rule reads of one subject: the permitted events, and the period as it lies at that subject's home."""

    events: list[JourneyEvent]
    period: Period
    zones: Zones


class _Asked(NamedTuple):
    """What a period of a program asks of every subject."""

    period: Period
    asks: tuple[Ask, ...]


class Reading:
    """What some slots are answered from, read for all of them at once, when this is made."""

    def __init__(self, node: Node, transaction: Transaction, slots: Sequence[Slot]) -> None:
        self._node, self._transaction = node, transaction
        subjects = {slot.row.subject for slot in slots}
        self._asked: dict[tuple[str, str, int, str], _Asked] = {}
        about: dict[Ask, list[Slot]] = {}
        for slot in slots:
            key = _key(slot)
            if key not in self._asked:
                self._asked[key] = _asked(slot, issuer=node.host)
            for ask in self._asked[key].asks:
                about.setdefault(ask, []).append(slot)
        self._standings = standings_of(transaction, subjects)
        self._sealed = {ask: _sealed(transaction, ask, asked) for ask, asked in about.items()}
        self._vault = node.secrets.vault_of(subjects)

    def read(self, slot: Slot, *, uses: int) -> PeriodRead | Refusal:
        """Open what the receipt permits of a period; the zone of a home is the one known when the period began.

        Args:
            slot: one of those that this was made for.
            uses: how many answers count against the receipt by now.

        Raises:
            PayloadUnavailable: a key that the permitted events need is missing.
        """
        now_s, subject = self._transaction.now_s, slot.row.subject
        authority = slot.receipt.terms.authority
        if not is_covered(authority, self._standings.get(subject), now_s=now_s):
            return NEEDS_OWN if authority == GUARDIAN else NEEDS_GUARDIAN
        asked = self._asked[_key(slot)]
        if asked.period.start_s < slot.row.answered_until_s:
            return ANSWERED_BEFORE
        receipt = slot.receipt if uses == slot.receipt.uses else replace(slot.receipt, uses=uses)
        events: list[JourneyEvent] = []
        permits: list[Permit] = []
        for ask in asked.asks:
            permit = decide(ask, receipt, now_s=now_s)
            if isinstance(permit, Refusal):
                return permit
            permits.append(permit)
            names = None if permit.resources is None else names_of(self._node, slot.row.link)
            events += open_permitted(self._vault, self._sealed[ask].get(subject, ()), permit, names=names)
        rule = slot.program.rule.spelled_out()
        period, zones = asked.period, NO_ZONES
        if rule.needs_home:
            home_name = home_zone_name(events, at_s=period.start_s)
            zones = Zones(home=None if home_name is None else zone_named(home_name))
            if rule.period.of_home and zones.home is not None:
                period = slot.program.period(slot.period, zone=zones.home)
        if not (rule.earned_as_it_goes or _is_whole(permits[0], period)):
            return _part_of(period)
        return PeriodRead(events, period, zones)


def _is_whole(permit: Permit, period: Period) -> bool:
    return permit.events_from_s <= period.start_s and period.end_s <= permit.events_until_s


def _part_of(period: Period) -> Refusal:
    """Return why a part of a period is not answered for: of a few days "at most three" is true of anybody."""
    whole = f"an answer that rests on the whole period, events from {period.start_s} to {period.end_s}"
    return Refusal((Reason("period_not_covered", whole),))


def _key(slot: Slot) -> tuple[str, str, int, str]:
    return slot.program.payer, slot.program.program, slot.program.version, slot.period


def _asked(slot: Slot, *, issuer: str) -> _Asked:
    period = slot.program.period(slot.period, zone=zone_of(slot.program))
    asks = (slot.program.ask(period, issuer=issuer), slot.program.required_ask(period, issuer=issuer))
    return _Asked(period, tuple(ask for ask in asks if ask is not None))


def _sealed(transaction: Transaction, ask: Ask, slots: Sequence[Slot]) -> dict[str, list[Any]]:
    """Return the events that a question is about, sealed as they are, by subject; none before or after all receipts."""
    scopes = [slot.receipt.scope for slot in slots]
    return sealed_events(
        transaction,
        {slot.row.subject for slot in slots},
        data_classes=ask.data_classes,
        from_s=max(ask.events_from_s, min(scope.events_from_s for scope in scopes)),
        until_s=min(ask.events_until_s, max(scope.events_until_s for scope in scopes)),
    )
