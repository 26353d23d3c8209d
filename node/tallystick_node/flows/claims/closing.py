"""Periods close at the issuer: the rule is evaluated under a permit, and a true answer is issued.

A false answer sends nothing, and nothing in the ledger or on the wire tells it from no answer at all. Periods close
many at a time, as a set: what all of them need is read first, each is decided, opened and evaluated in memory, and what
comes of them is written together. A single one is a set of one.

Source: DESIGN flow 4, CONSTRUCTIONS (rules and rewards), SCENARIOS 1.01, 1.03, 3.01, 3.06.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import bindparam, select, update

from tallystick_consent.claims.claim import Answer
from tallystick_consent.decide import Ask, Refusal
from tallystick_consent.program import Program
from tallystick_consent.rules import (
    FIRST_ZONE,
    Evaluation,
    Period,
    evaluate,
    follows,
    period_after,
    statement_of,
    with_late,
)
from tallystick_ledger.times import DAY_S
from tallystick_node.flows.claims.decisions import Told, keep_another_look, keep_decision, keep_refusal, told_under
from tallystick_node.flows.claims.issuing import Issuing
from tallystick_node.flows.claims.made_good import plan_answer
from tallystick_node.flows.claims.reading import Reading, Slot
from tallystick_node.flows.events import last_recorded
from tallystick_node.flows.programs import known_program, zone_of
from tallystick_node.flows.receipts.rows import receipt_of, with_subject
from tallystick_node.log.transaction import Transaction
from tallystick_node.node import Node
from tallystick_node.storage.tables import RECEIPTS

TOO_LATE_TOLD_S = 31 * DAY_S
"""How long after evidence counts no more its subject is still told so; older periods are not looked at again."""

LAST_LOOK_BEFORE_S = 3_600
"""How long before late evidence for a receipt's last period counts no more it is looked at: jobs may be late."""

LEAVES_WITHIN_S = 2 * DAY_S
"""How long before a receipt ends an answer is made at the latest, so that it can still leave at its release slot."""

CLOSE_AGAIN_AFTER_S = 3_600
"""How long a period that could not be evaluated, for want of a key for example, is left alone."""


def due_receipts(node: Node, *, rows_max: int) -> list[str]:
    """Return receipts with a period that has closed and was not evaluated."""
    # What is paused keeps its period, and closes it once it is live again.
    live = RECEIPTS.c.live_leaf.is_not(None)
    due = live & RECEIPTS.c.next_close_s.is_not(None) & (RECEIPTS.c.next_close_s <= node.now_s())
    rows = node.rows(select(RECEIPTS.c.id).where(due).order_by(RECEIPTS.c.next_close_s, RECEIPTS.c.id).limit(rows_max))
    return [row.id for row in rows]


def close_periods(node: Node, transaction: Transaction, receipts: Sequence[str], *, periods_max: int) -> int | None:
    """Evaluate the next period of each of these receipts, once; answer what is true; then look to the period after.

    After its last one, what came late for a receipt is looked at once more, while it can still be made good. Where one
    of them fails, all of this write does.

    Args:
        receipts: which.
        periods_max: how many periods are evaluated at most, those that are looked at again among them; a single
            receipt's are in any case.

    Returns:
        How many periods there were, a receipt that had none left counted as one; None where they are more, and nothing
        was done.

    Raises:
        PayloadUnavailable: a key that is needed is missing.
    """
    closed = (RECEIPTS.c.next_close_s <= transaction.now_s, RECEIPTS.c.live_leaf.is_not(None))
    rows = transaction.execute(with_subject().where(RECEIPTS.c.id.in_(receipts), *closed)).all()
    known = {row.id: row for row in rows}
    programs = _Programs(transaction)
    due = [programs.slot(known[receipt]) for receipt in receipts if receipt in known]
    looks = _to_look_at_again(node, transaction, due)
    periods = len(due) + len(looks)
    if periods > periods_max and len(due) > 1:
        return None
    closing = _Closing(node, transaction, [*(slot for slot in due if slot.period), *(again for again, _ in looks)])
    told_again: dict[str, list[tuple[Slot, Told]]] = {}
    for again, told in looks:
        told_again.setdefault(again.row.id, []).append((again, told))
    for slot in due:
        if slot.period:
            closing.answer(slot)
        for again, told in told_again.get(slot.row.id, ()):
            closing.look_again(again, told)
        transaction.collect(_GO_ON, of=slot.row.id, **_following(slot, now_s=transaction.now_s))
    closing.keep()
    return periods


_GO_ON = (
    update(RECEIPTS)
    .where(RECEIPTS.c.id == bindparam("of"))
    .values(next_period=bindparam("period"), next_close_s=bindparam("close_s"))
)


def _following(slot: Slot, *, now_s: int) -> dict[str, object]:
    """Return the period after, and when it closes; after the last, no period, and when to look at it again, if ever."""
    if not slot.period:
        return {"period": None, "close_s": None}
    zone, program, scope = zone_of(slot.program), slot.program, slot.receipt.scope
    following = program.period(period_after(slot.period), zone=zone)
    if following.start_s < scope.events_until_s:
        return {"period": following.name, "close_s": program.closed_for_all_s(following.name, zone=zone)}
    rule = program.rule.spelled_out()
    last = program.period(slot.period, zone=FIRST_ZONE if rule.period.of_home else zone)
    counts_until_s = last.close_s + rule.late.up_within_days * DAY_S
    last_look_s = min(counts_until_s - LAST_LOOK_BEFORE_S, scope.valid_until_s - LEAVES_WITHIN_S)
    is_looked_at = rule.late.evidence == "true_up" and last_look_s > now_s
    return {"period": None, "close_s": last_look_s if is_looked_at else None}


def settle_periods(node: Node, transaction: Transaction, receipt: str) -> None:
    """Evaluate what a subject who stops has earned: every period that is over and was not closed, and the running one
    where a yes can be said of it already.

    What is answered leaves when its period has closed, like any other answer.
    """
    row = transaction.row(with_subject().where(RECEIPTS.c.id == receipt, RECEIPTS.c.live_leaf.is_not(None)))
    if row is None or row.next_period is None:
        return
    slots: list[Slot] = []
    slot = _Programs(transaction).slot(row)
    until_s = min(transaction.now_s, slot.receipt.scope.events_until_s)
    while (period := _period(slot)).start_s < until_s:
        if period.end_s > transaction.now_s and not slot.program.rule.spelled_out().earned_as_it_goes:
            break
        slots.append(slot)
        slot = slot._replace(period=period_after(slot.period))
    closing = _Closing(node, transaction, slots)
    for each in slots:
        closing.answer(each)
    closing.keep()


def put_off_closing(transaction: Transaction, receipt: str) -> None:
    """Try a receipt's period again later: it could not be evaluated, and others must not wait for it."""
    later = {"next_close_s": transaction.now_s + CLOSE_AGAIN_AFTER_S}
    transaction.execute(
        update(RECEIPTS).where(RECEIPTS.c.id == receipt, RECEIPTS.c.next_close_s.is_not(None)).values(**later)
    )


class _Programs:
    """The programs of receipts, each read once."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction
        self._known: dict[tuple[str, str, int], Program] = {}

    def slot(self, row: Any) -> Slot:
        """Return the next period of a receipt; it is "" where the last one was answered."""
        receipt = receipt_of(row)
        named = (receipt.scope.recipient, receipt.scope.program, receipt.scope.program_version)
        if named not in self._known:
            self._known[named] = known_program(self._transaction, *named)
        return Slot(row, receipt, self._known[named], row.next_period or "")


class _Closing:
    """Answers some slots, one after the other, with what was read for all of them at once."""

    def __init__(self, node: Node, transaction: Transaction, slots: Sequence[Slot]) -> None:
        self._node, self._transaction = node, transaction
        self._reading = Reading(node, transaction, slots)
        self._issuing = Issuing(node, transaction, slots)

    def keep(self) -> None:
        """Keep what all of them used; to be called once they are answered."""
        self._issuing.keep()

    def answer(self, slot: Slot) -> None:
        """Evaluate a period, keep what was decided for the subject to read, and answer if it is true.

        Raises:
            PayloadUnavailable: a key that the permitted events need is missing.
        """
        row, program, period = slot.row, slot.program, slot.period
        read = self._reading.read(slot, uses=self._issuing.uses(row))
        if isinstance(read, Refusal):
            keep_refusal(self._transaction, row, program, period, read)
            return
        found = evaluate(program.rule, read.events, period=read.period, zones=read.zones)
        claim = self._issue(slot, found) if found.satisfied else ""
        if found.satisfied and not claim:  # an earlier receipt of the link told it, and nothing is told under this
            keep_another_look(self._transaction, row, program, period, "issued", found=found, told_already=True)
            return
        outcome = "issued" if found.satisfied else "not_reached"
        keep_decision(self._transaction, row, program, period, outcome, found=found, claim=claim)

    def look_again(self, slot: Slot, told: Told) -> None:
        """Evaluate a closed period again for which evidence came since: a true-up.

        What is better for the subject now is told by a new claim, at a time of its own: late evidence is rare, and
        what two of her partners were shown together could match her (P6). Nothing that was told is edited, and what
        does not change is kept for the subject to read too.

        Raises:
            PayloadUnavailable: a key that the permitted events need is missing.
        """
        row, program, period = slot.row, slot.program, slot.period
        read = self._reading.read(slot, uses=self._issuing.uses(row))
        if isinstance(read, Refusal):
            keep_refusal(self._transaction, row, program, period, read)
            return
        found = evaluate(program.rule, with_late(read.events), period=read.period, zones=read.zones)
        if (found.counted, found.not_counted) == (told.answer.counted, told.answer.not_counted):
            return  # what came late is about the days around the period, which are read with it
        statement = statement_of(program.rule, period, told.answer) if told.answer.satisfied else None
        now_s = self._transaction.now_s
        outcome = follows(program.rule, statement, found, because="late", period=read.period, now_s=now_s)
        is_better = outcome in ("issued", "superseded")
        told_already = is_better and self._issuing.is_answered(slot)
        if is_better and not told_already:
            plan_answer(self._node, self._transaction, row, program, period)
        keep_another_look(self._transaction, row, program, period, outcome, found=found, told_already=told_already)

    def _issue(self, slot: Slot, found: Evaluation) -> str:
        statement = statement_of(slot.program.rule, slot.period, found)
        answer = Answer.model_validate({"statement": statement, "value": True, "assurance": found.assurance})
        return self._issuing.issue(slot, answer)


def _to_look_at_again(node: Node, transaction: Transaction, due: Sequence[Slot]) -> list[tuple[Slot, Told]]:
    """Return closed periods for which evidence came since, where the rule takes it; by receipt, in the order told."""
    taking = [slot for slot in due if slot.program.rule.spelled_out().late.evidence == "true_up"]
    if not taking:
        return []
    # What was decided longer ago is about periods that closed before that, whose late evidence changes nothing.
    within_s = max(slot.program.rule.spelled_out().late.up_within_days for slot in taking) * DAY_S + TOO_LATE_TOLD_S
    told_by = told_under(transaction, [slot.row.id for slot in taking], since_s=transaction.now_s - within_s)
    before = [
        (slot._replace(period=told.period), told)
        for slot in taking
        for told in told_by.get(slot.row.id, ())
        if told.period != slot.period  # what came late for the one that is answered now is made good in the next
    ]
    open_still = [(slot, told) for slot, told in before if _may_be_told(slot, now_s=transaction.now_s)]
    about: dict[Ask, list[tuple[Slot, Told]]] = {}
    asked = [slot.program.ask(_period(slot), issuer=node.host) for slot, _ in open_still]
    for ask, look in zip(asked, open_still, strict=True):
        about.setdefault(ask, []).append(look)
    late: dict[Ask, dict[str, int]] = {}
    for ask, looks in about.items():
        since_s = min(told.looked_at_s for _, told in looks)
        late[ask] = last_recorded(transaction, ask, {slot.row.subject for slot, _ in looks}, since_s=since_s)
    return [
        (slot, told)
        for ask, (slot, told) in zip(asked, open_still, strict=True)
        if told.left_late or late[ask].get(slot.row.subject, -1) >= told.looked_at_s
    ]


def _may_be_told(slot: Slot, *, now_s: int) -> bool:
    """Return whether late evidence of a period changes what was told, or is at least told to be too late."""
    up_within_s = slot.program.rule.spelled_out().late.up_within_days * DAY_S
    return now_s < _period(slot).close_s + up_within_s + TOO_LATE_TOLD_S


def _period(slot: Slot) -> Period:
    return slot.program.period(slot.period, zone=zone_of(slot.program))
