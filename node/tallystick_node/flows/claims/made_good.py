"""Answers that a correction or late evidence makes good, at the issuer: decided when the correction is taken, or at a
close, and issued at a time of their own.

A claim says when it was issued, and so does its entry, which its recipient is shown. Whom it is about may have other
partners, and what is made good is rare: two that were answered in one second, or because of one named correction,
could match her (P6). So each is issued at the time at which it leaves, in its recipient's next release slot; what it
follows from is named where it was delivered, which its recipient does not see.

Source: DESIGN section 5 (P6, P14), SCENARIOS 1.07 and 3.06.
"""

from typing import Any

from sqlalchemy import delete, insert, select, update

from tallystick_consent.claims.claim import Answer
from tallystick_consent.claims.release import leaving_at_s, slot_of
from tallystick_consent.decide import Refusal
from tallystick_consent.program import Program
from tallystick_consent.rules import evaluate, statement_of, with_late
from tallystick_ledger.errors import PayloadUnavailable
from tallystick_node.flows.claims.decisions import keep_another_look, keep_decision, keep_refusal, name_claim
from tallystick_node.flows.claims.issuing import Issuing, last_answer, release_key, require_link_secret
from tallystick_node.flows.claims.reading import Reading, Slot
from tallystick_node.flows.programs import known_program, zone_of
from tallystick_node.flows.receipts.rows import receipt_of, with_subject
from tallystick_node.log.transaction import Transaction
from tallystick_node.node import Node
from tallystick_node.storage.tables import MADE_GOOD, RECEIPTS

LATE_S = 600
"""How long after its time an answer may still be issued: what a busy node makes of it, and no more."""

AGAIN_AFTER_S = 3_600
"""How long an answer that wants a key that is missing is left alone."""


def plan_answer(
    node: Node,
    transaction: Transaction,
    row: Any,
    program: Program,
    period: str,
    correction: str = "",
    *,
    after_s: int = 0,
    log: str = "",
) -> None:
    """Let a period be answered at a time of its own.

    Args:
        row: its receipt.
        period: one that is closed, and in which the subject has reached what is asked.
        correction: id of the entry because of which; "" where evidence came late.
        after_s: when it is said that what was told before stands no longer; 0 where nothing was.
        log: which holds the correction; "" for this one.
    """
    closed_s = program.closed_for_all_s(period, zone=zone_of(program))
    drawn_with: dict[str, Any] = {"key": release_key(node), "recipient": row.partner, "period": period}
    opens = slot_of(closed_s, **drawn_with, ready_s=transaction.now_s)
    due_s = max(leaving_at_s(f"{row.id}/{correction}", **drawn_with, slot=opens), after_s)
    kept = {"receipt": row.id, "period": period, "correction": correction, "due_s": due_s}
    kept["log"] = log or transaction.log
    forget_planned(transaction, row.id, period)
    transaction.execute(insert(MADE_GOOD).values(**kept))


def forget_planned(transaction: Transaction, receipt: str, period: str) -> bool:
    """Answer a period no more: what was planned for it is decided anew, or done. Return whether anything was."""
    mine = (MADE_GOOD.c.receipt == receipt, MADE_GOOD.c.period == period)
    return bool(transaction.execute(delete(MADE_GOOD).where(*mine)).rowcount)


def answer_planned(node: Node, transaction: Transaction, *, rows_max: int) -> int:
    """Issue the answers whose time has come, while their receipts are live; return how many were looked at.

    One whose time is long gone, since the node was away or its receipt was paused, gets another: what waited together
    would leave together.
    """
    due = (MADE_GOOD.c.due_s <= transaction.now_s, RECEIPTS.c.live_leaf.is_not(None), RECEIPTS.c.ended_at_s.is_(None))
    joined = select(MADE_GOOD).join(RECEIPTS, RECEIPTS.c.id == MADE_GOOD.c.receipt).where(*due)
    rows = transaction.execute(joined.order_by(MADE_GOOD.c.due_s, MADE_GOOD.c.receipt).limit(rows_max)).all()
    for each in rows:
        if each.due_s < transaction.now_s - LATE_S:
            _put_off(node, transaction, each)
            continue
        try:
            _answer(node, transaction, each)
        except PayloadUnavailable:  # of this one: it keeps no other from being answered
            mine = (MADE_GOOD.c.receipt == each.receipt, MADE_GOOD.c.period == each.period)
            later = {"due_s": transaction.now_s + AGAIN_AFTER_S}
            transaction.execute(update(MADE_GOOD).where(*mine).values(**later))
    return len(rows)


def _put_off(node: Node, transaction: Transaction, planned: Any) -> None:
    row = transaction.row(with_subject().where(RECEIPTS.c.id == planned.receipt))
    assert row is not None, "receipts are never removed before what is planned under them"
    terms = receipt_of(row).terms
    program = known_program(transaction, terms.recipient, terms.program, terms.program_version)
    plan_answer(node, transaction, row, program, planned.period, planned.correction, log=planned.log)


def answer_all_planned(node: Node, transaction: Transaction, receipt: str) -> None:
    """Issue what is planned under a receipt at once: its subject stops, and has settled what was earned.

    Raises:
        PayloadUnavailable: a key that is needed is missing.
    """
    for each in transaction.execute(select(MADE_GOOD).where(MADE_GOOD.c.receipt == receipt)).all():
        _answer(node, transaction, each)


def _answer(node: Node, transaction: Transaction, planned: Any) -> None:
    """Evaluate a period again and answer it, or say that it is not answered after all; nothing is written where a key
    is missing."""
    row = transaction.row(with_subject().where(RECEIPTS.c.id == planned.receipt))
    assert row is not None, "receipts are never removed before what is planned under them"
    terms = receipt_of(row).terms
    program = known_program(transaction, terms.recipient, terms.program, terms.program_version)
    again = last_answer(transaction, row.id, planned.period) is not None
    slot = Slot(row, receipt_of(row, again=again), program, planned.period)
    require_link_secret(node, row.link)
    read = Reading(node, transaction, [slot]).read(slot, uses=slot.receipt.uses)
    issuing = Issuing(node, transaction, [slot])
    forget_planned(transaction, row.id, planned.period)
    if isinstance(read, Refusal):
        keep_decision(transaction, row, program, planned.period, "taken_back")
        keep_refusal(transaction, row, program, planned.period, read)
        return
    found = evaluate(program.rule, with_late(read.events), period=read.period, zones=read.zones)
    if not found.satisfied:
        keep_another_look(transaction, row, program, planned.period, "revoked", found=found)
        return
    said = statement_of(program.rule, planned.period, found)
    answer = Answer.model_validate({"statement": said, "value": True, "assurance": found.assurance})
    # A log names no correction of the one before it.
    correction = planned.correction if planned.log == transaction.log else ""
    claim = issuing.issue(slot, answer, correction=correction, at_once=True)
    issuing.keep()
    name_claim(transaction, row.id, planned.period, claim)
