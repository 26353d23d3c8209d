"""A period closes at the issuer: the rule is evaluated under a permit, and a true answer is issued.

A false answer sends nothing, and nothing in the ledger or on the wire tells it from no answer at all.

Source: DESIGN flow 4, CONSTRUCTIONS (rules and rewards), SCENARIOS 1.01, 1.03.
"""

from typing import Any

from sqlalchemy import select, update

from tallystick_consent.claim import Answer
from tallystick_consent.decide import Refusal, decide
from tallystick_consent.events import JourneyEvent
from tallystick_consent.program import Program
from tallystick_consent.rules import Period, evaluate, period_after, statement_of
from tallystick_node.flows.decisions import keep_decision, keep_refusal
from tallystick_node.flows.events import open_permitted
from tallystick_node.flows.issuing import issue_answer
from tallystick_node.flows.programs import known_program, zone_of
from tallystick_node.flows.receipts import receipt_of, with_subject
from tallystick_node.flows.standings import NEEDS_GUARDIAN, covers_subject
from tallystick_node.node import Node
from tallystick_node.tables import RECEIPTS
from tallystick_node.writer import Transaction

CLOSE_AGAIN_AFTER_S = 3_600
"""How long a period that could not be evaluated, for want of a key for example, is left alone."""


def due_receipts(node: Node, *, rows_max: int) -> list[str]:
    """Return receipts with a period that has closed and was not evaluated."""
    due = (RECEIPTS.c.next_close_s.is_not(None)) & (RECEIPTS.c.next_close_s <= node.now_s())
    rows = node.rows(select(RECEIPTS.c.id).where(due).order_by(RECEIPTS.c.next_close_s, RECEIPTS.c.id).limit(rows_max))
    return [row.id for row in rows]


def close_period(node: Node, transaction: Transaction, receipt: str) -> None:
    """Evaluate a receipt's next period, once; answer it if it is true; then look to the period after."""
    due = with_subject().where(RECEIPTS.c.id == receipt, RECEIPTS.c.next_close_s <= transaction.now_s)
    row = transaction.row(due)
    if row is None:
        return
    terms = receipt_of(row).terms
    program = known_program(transaction, terms.recipient, terms.program, terms.program_version)
    period = program.period(row.next_period, zone=zone_of(program))
    _answer(node, transaction, row, program, period)
    following = program.period(period_after(period.name), zone=zone_of(program))
    more = following.start_s < terms.events_until_s
    transaction.execute(
        update(RECEIPTS)
        .where(RECEIPTS.c.id == receipt)
        .values(next_period=following.name if more else None, next_close_s=following.close_s if more else None)
    )


def put_off_closing(transaction: Transaction, receipt: str) -> None:
    """Try a receipt's period again later: it could not be evaluated, and others must not wait for it."""
    later = {"next_close_s": transaction.now_s + CLOSE_AGAIN_AFTER_S}
    transaction.execute(
        update(RECEIPTS).where(RECEIPTS.c.id == receipt, RECEIPTS.c.next_close_s.is_not(None)).values(**later)
    )


def _answer(node: Node, transaction: Transaction, row: Any, program: Program, period: Period) -> None:
    if not covers_subject(transaction, receipt_of(row).terms, subject=row.subject):
        keep_refusal(transaction, row, program, period.name, NEEDS_GUARDIAN)
        return
    events: list[JourneyEvent] = []
    for ask in (program.ask(period, issuer=node.host), program.standing_ask(period, issuer=node.host)):
        if ask is None:
            continue
        permit = decide(ask, receipt_of(row), now_s=transaction.now_s)
        if isinstance(permit, Refusal):
            keep_refusal(transaction, row, program, period.name, permit)
            return
        events += open_permitted(node, transaction, permit, subject=row.subject)
    found = evaluate(program.rule, events, period=period)
    outcome = "issued" if found.satisfied else "not_reached"
    keep_decision(transaction, row, program, period.name, outcome, counted=found.counted, not_counted=found.not_counted)
    if found.satisfied:
        statement = statement_of(program.rule, period.name, found)
        answer = Answer.model_validate({"statement": statement, "value": True, "assurance": found.assurance})
        issue_answer(node, transaction, row, program, period.name, answer)
