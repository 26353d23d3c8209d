"""A period closes at the issuer: the rule is evaluated under a permit, and a true answer is issued.

A false answer sends nothing, and nothing in the ledger or on the wire tells it from no answer at all.

Source: DESIGN flow 4, CONSTRUCTIONS (rules and rewards), SCENARIOS 1.01, 1.03, 3.01, 3.06.
"""

from typing import Any, NamedTuple

from sqlalchemy import select, update

from tallystick_consent.claims.claim import Answer
from tallystick_consent.decide import Reason, Refusal, decide
from tallystick_consent.events import JourneyEvent
from tallystick_consent.program import Program
from tallystick_consent.rules import (
    NO_ZONES,
    Evaluation,
    Period,
    Zones,
    evaluate,
    home_zone_name,
    period_after,
    statement_of,
    true_up,
    with_late,
)
from tallystick_node.flows.claims.decisions import keep_decision, keep_refusal, keep_second_look, told_of
from tallystick_node.flows.claims.issuing import issue_answer
from tallystick_node.flows.events import came_late, open_permitted
from tallystick_node.flows.people.standings import NEEDS_GUARDIAN, covers_subject
from tallystick_node.flows.programs import known_program, zone_named, zone_of
from tallystick_node.flows.receipts.rows import receipt_of, with_subject
from tallystick_node.log.transaction import Transaction
from tallystick_node.node import Node
from tallystick_node.storage.tables import RECEIPTS

DAY_S = 86_400

TOO_LATE_TOLD_S = 31 * DAY_S
"""How long after evidence counts no more its subject is still told so; older periods are not looked at again."""

ANSWERED_BEFORE = Refusal((Reason("answered_before", "an answer about a period that no earlier link answered"),))
"""Under another link the same slot has another nullifier, and the payer may know the subject under another id: only
here is it known that it would be paid twice (P7). The partner sees silence, which tells nothing of who came back."""

CLOSE_AGAIN_AFTER_S = 3_600
"""How long a period that could not be evaluated, for want of a key for example, is left alone."""


def due_receipts(node: Node, *, rows_max: int) -> list[str]:
    """Return receipts with a period that has closed and was not evaluated."""
    # What is paused keeps its period, and closes it once it is live again.
    live = RECEIPTS.c.live_leaf.is_not(None)
    due = live & RECEIPTS.c.next_close_s.is_not(None) & (RECEIPTS.c.next_close_s <= node.now_s())
    rows = node.rows(select(RECEIPTS.c.id).where(due).order_by(RECEIPTS.c.next_close_s, RECEIPTS.c.id).limit(rows_max))
    return [row.id for row in rows]


def close_period(node: Node, transaction: Transaction, receipt: str) -> None:
    """Evaluate a receipt's next period, once; answer it if it is true; then look to the period after."""
    closed = (RECEIPTS.c.next_close_s <= transaction.now_s, RECEIPTS.c.live_leaf.is_not(None))
    due = with_subject().where(RECEIPTS.c.id == receipt, *closed)
    row = transaction.row(due)
    if row is None:
        return
    terms = receipt_of(row).terms
    program = known_program(transaction, terms.recipient, terms.program, terms.program_version)
    answer_period(node, transaction, row, program, row.next_period)
    _look_again(node, transaction, row, program)
    zone = zone_of(program)
    following = program.period(period_after(row.next_period), zone=zone)
    more = following.start_s < terms.events_until_s
    closed_s = program.closed_for_all_s(following.name, zone=zone)
    transaction.execute(
        update(RECEIPTS)
        .where(RECEIPTS.c.id == receipt)
        .values(next_period=following.name if more else None, next_close_s=closed_s if more else None)
    )


def settle_periods(node: Node, transaction: Transaction, receipt: str) -> None:
    """Evaluate what a subject who stops has earned: every period that has begun and was not closed, up to now.

    What is answered leaves when its period has closed, like any other answer.
    """
    row = transaction.row(with_subject().where(RECEIPTS.c.id == receipt, RECEIPTS.c.live_leaf.is_not(None)))
    name = None if row is None else row.next_period
    while row is not None and name is not None:
        terms = receipt_of(row).terms
        program = known_program(transaction, terms.recipient, terms.program, terms.program_version)
        period = program.period(name, zone=zone_of(program))
        if period.start_s >= min(transaction.now_s, terms.events_until_s):
            return
        answer_period(node, transaction, row, program, name)
        name = period_after(name)
        row = transaction.row(with_subject().where(RECEIPTS.c.id == receipt))


def put_off_closing(transaction: Transaction, receipt: str) -> None:
    """Try a receipt's period again later: it could not be evaluated, and others must not wait for it."""
    later = {"next_close_s": transaction.now_s + CLOSE_AGAIN_AFTER_S}
    transaction.execute(
        update(RECEIPTS).where(RECEIPTS.c.id == receipt, RECEIPTS.c.next_close_s.is_not(None)).values(**later)
    )


def answer_period(node: Node, transaction: Transaction, row: Any, program: Program, name: str) -> None:
    """Evaluate a period under a receipt, keep what was decided for the subject to read, and answer if it is true.

    Args:
        row: the receipt, with the subject of its link.
        name: of the period.

    Raises:
        PayloadUnavailable: a key that the permitted events need is missing.
    """
    read = read_period(node, transaction, row, program, name)
    if isinstance(read, Refusal):
        keep_refusal(transaction, row, program, name, read)
        return
    found = evaluate(program.rule, read.events, period=read.period, zones=read.zones)
    claim = _issue(node, transaction, row, program, name, found) if found.satisfied else ""
    outcome = "issued" if found.satisfied else "not_reached"
    keep_decision(transaction, row, program, name, outcome, found=found, claim=claim)


def _look_again(node: Node, transaction: Transaction, row: Any, program: Program) -> None:
    """Evaluate closed periods again for which evidence came since, where the rule takes it: a true-up.

    What is better for the subject now is told by a new claim; nothing that was told is edited, and what does not change
    is kept for the subject to read too.
    """
    rule = program.rule
    if rule.spelled_out().late.evidence != "true_up":
        return
    for told in told_of(transaction, row.id):
        if told.period == row.next_period:
            continue  # just answered; what came late for it is made good in the next period
        period = program.period(told.period, zone=zone_of(program))
        if transaction.now_s >= period.close_s + rule.spelled_out().late.up_within_days * DAY_S + TOO_LATE_TOLD_S:
            continue
        asked = program.ask(period, issuer=node.host)
        if not came_late(transaction, asked, subject=row.subject, since_s=told.looked_at_s) and not told.left_late:
            continue
        read = read_period(node, transaction, row, program, told.period)
        if isinstance(read, Refusal):
            keep_refusal(transaction, row, program, told.period, read)
            continue
        found = evaluate(rule, with_late(read.events), period=read.period, zones=read.zones)
        if (found.counted, found.not_counted) == (told.answer.counted, told.answer.not_counted):
            continue  # what came late is about the days around the period, which are read with it
        follows = true_up(rule, told.answer, found, period=read.period, now_s=transaction.now_s)
        claim = ""
        if follows == "better":
            # "" where one stands already
            claim = _issue(node, transaction, row, program, told.period, found, supersedes=told.taken_back)
        keep_second_look(transaction, row, program, told.period, follows, found=found, claim=claim)


class PeriodRead(NamedTuple):
    """What a rule reads of one subject: the permitted events, and the period as it lies at that subject's home."""

    events: list[JourneyEvent]
    period: Period
    zones: Zones


def read_period(
    node: Node, transaction: Transaction, row: Any, program: Program, name: str, *, again: bool = False
) -> PeriodRead | Refusal:
    """Open what the receipt permits of a period; the zone of a home is the one known when the period began.

    Args:
        row: the receipt, with the subject of its link.
        name: of the period.
        again: it was answered, and counted, before.

    Raises:
        PayloadUnavailable: a key that the permitted events need is missing.
    """
    if not covers_subject(transaction, receipt_of(row).terms, subject=row.subject):
        return NEEDS_GUARDIAN
    zone = zone_of(program)
    period = program.period(name, zone=zone)
    if period.start_s < row.answered_until_s:
        return ANSWERED_BEFORE
    events: list[JourneyEvent] = []
    for ask in (program.ask(period, issuer=node.host), program.standing_ask(period, issuer=node.host)):
        if ask is None:
            continue
        permit = decide(ask, receipt_of(row, again=again), now_s=transaction.now_s)
        if isinstance(permit, Refusal):
            return permit
        events += open_permitted(node, transaction, permit, subject=row.subject)
    rule = program.rule.spelled_out()
    if not rule.needs_home:
        return PeriodRead(events, period, NO_ZONES)
    home_name = home_zone_name(events, at_s=period.start_s)
    home = None if home_name is None else zone_named(home_name)
    if rule.period.of_home and home is not None:
        period = program.period(name, zone=home)
    return PeriodRead(events, period, Zones(home=home))


def _issue(
    node: Node,
    transaction: Transaction,
    row: Any,
    program: Program,
    name: str,
    found: Evaluation,
    *,
    supersedes: str = "",
) -> str:
    statement = statement_of(program.rule, name, found)
    answer = Answer.model_validate({"statement": statement, "value": True, "assurance": found.assurance})
    return issue_answer(node, transaction, row, program, name, answer, supersedes=supersedes)
