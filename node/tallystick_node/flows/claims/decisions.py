"""What this node decided about a subject's period; kept for the subject to read, and dropped with the receipt.

What partners ask for after that, and are refused, is kept until the subject is erased."""

import json
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from sqlalchemy import func, insert, select, update

from tallystick import wire
from tallystick_consent.decide import Reason, Refusal
from tallystick_consent.program import Program
from tallystick_consent.receipts.states import OPEN, ReceiptState
from tallystick_consent.rules import Evaluation, Outcome
from tallystick_node.log.transaction import Transaction
from tallystick_node.node import Node
from tallystick_node.storage.tables import DECISIONS

AFTER_CLOSE = "after_close"
"""The reason by which a rule leaves out what was recorded after the close."""

REFUSALS_MAX = 200
"""How many refusals a receipt has when a partner's questions add no further one but that they were many."""

REFUSALS_AFTER_END_MAX = 24
"""The same, once the receipt has ended: what is kept then ends with its subject's erasure alone."""

SHOWN_MAX = 5_000
"""How many decisions about a customer are shown at once, the newest."""

_KEEP = insert(DECISIONS)

_CHANGES: dict[Outcome, str] = {"issued": "made_good", "superseded": "made_good", "revoked": "taken_back"}
"""What of a period changes when it is looked at again, as a word of `wire.Decision`."""

_STANDS: dict[Outcome, Reason] = {
    "stands": Reason("same", "what was told, which late evidence does not change"),
    "not_reached": Reason("same", "what was told, which late evidence does not change"),
    "not_taken": Reason("not_taken", "what was told: this rule takes no late evidence"),
    "too_late": Reason("too_late", "what was told: late evidence counts for a limited time"),
    "future_only": Reason("future_only", "what was told: this rule takes nothing back"),
    "needs_correction": Reason(
        "needs_correction", "what was told: late evidence alone takes nothing back; a correction does"
    ),
}
"""Why what was told of a period stands, in a word and in plain words."""

_TOLD_ALREADY = Reason("told_already", "what was told: its claim stands, and no second one may take its place")


_MANY = Refusal((Reason("many", "nothing of this period either, the last of many that were asked about"),))
"""What further questions came to, when those of a receipt are as many as are kept one by one."""


def keep_refusal(transaction: Transaction, row: Any, program: Program, period: str, refusal: Refusal) -> None:
    """Keep a refusal with all its reasons."""
    keep_decision(transaction, row, program, period, "refused", reasons=_reasons_of(refusal))


def keep_asked_refusal(transaction: Transaction, row: Any, program: Program, period: str, refusal: Refusal) -> None:
    """Keep what a partner's question came to, however often it asks: once for each period and reasons, with how often
    it was asked and when last; so many under a receipt, fewer once that has ended, and all further ones as one.

    It tells the subject that the partner asked, and nothing of her was looked at: so it is kept also of a receipt that
    has ended, for as long as she is not erased.
    """
    if not row.subject:
        return
    is_over = ReceiptState(row.state) not in OPEN
    refused = select(DECISIONS.c.id).where(DECISIONS.c.receipt == row.id, DECISIONS.c.outcome == "refused")
    kept_max = REFUSALS_AFTER_END_MAX if is_over else REFUSALS_MAX
    reasons = _reasons_of(refusal)
    same = refused.where(DECISIONS.c.period == period, DECISIONS.c.reasons == reasons)
    known = transaction.row(same)
    if known is None and transaction.row(refused.offset(kept_max - 1).limit(1)) is not None:
        reasons = _reasons_of(_MANY)
        known = transaction.row(refused.where(DECISIONS.c.reasons == reasons))
    if known is None:
        keep_decision(transaction, row, program, period, "refused", reasons=reasons, asked=1)
    else:
        again = {"period": period, "decided_at_s": transaction.now_s, "asked": DECISIONS.c.asked + 1}
        transaction.execute(update(DECISIONS).where(DECISIONS.c.id == known.id).values(**again))


def _reasons_of(refusal: Refusal) -> str:
    return json.dumps([reason._asdict() for reason in refusal.reasons])


def keep_decision(
    transaction: Transaction,
    row: Any,
    program: Program,
    period: str,
    outcome: str,
    *,
    found: Evaluation | None = None,
    reasons: str = "[]",
    claim: str = "",
    asked: int = 0,
) -> None:
    """Keep a decision; `outcome` is a word of `wire.Decision`.

    Args:
        found: what the rule came to, where it was evaluated.
        reasons: of a refusal, JSON.
        claim: digest of the claim that tells it.
        asked: how often the partner has asked for it.
    """
    transaction.collect(
        _KEEP,
        subject=row.subject,
        receipt=row.id,
        partner=row.partner,
        program=program.program,
        version=program.version,
        period=period,
        outcome=outcome,
        counted=found.counted if found else 0,
        not_counted=json.dumps(found.not_counted if found else {}),
        reasons=reasons,
        decided_at_s=transaction.now_s,
        band=found.band if found else None,
        flags=json.dumps(found.flags if found else {}),
        claim=claim,
        asked=asked,
    )


class Told(NamedTuple):
    """What was decided about a period so far.

    Attributes:
        period: its name.
        answer: what was told: whether, and which band.
        claim: digest of the claim that tells it, "" where none does.
        looked_at_s: when it was looked at last.
        left_late: whether evidence had come after the close already when it was first looked at.
    """

    period: str
    answer: Evaluation
    claim: str
    looked_at_s: int
    left_late: bool


def told_under(transaction: Transaction, receipts: Collection[str], *, since_s: int) -> dict[str, list[Told]]:
    """Return what was told under receipts since a time, each with its periods; one without any is not in it."""
    kept = select(DECISIONS).where(DECISIONS.c.receipt.in_(receipts), DECISIONS.c.decided_at_s >= since_s)
    kept = kept.order_by(DECISIONS.c.id)
    rows: dict[str, list[Any]] = {}
    for row in transaction.execute(kept).all():
        rows.setdefault(row.receipt, []).append(row)
    return {receipt: _told(mine) for receipt, mine in rows.items()}


def _told(rows: Sequence[Any]) -> list[Told]:
    """Return what decisions under a receipt, in order, have told by period."""
    found: dict[str, Told] = {}
    for row in rows:
        before = found.get(row.period)
        if row.outcome in ("issued", "not_reached", "made_good", "taken_back"):
            satisfied = row.outcome in ("issued", "made_good")
            answer = Evaluation(satisfied, 0, "", row.counted, json.loads(row.not_counted), row.band)
            left_late = before is None and AFTER_CLOSE in answer.not_counted
            found[row.period] = Told(row.period, answer, row.claim, row.decided_at_s, left_late)
        elif before is not None and row.outcome == "stands":
            found[row.period] = before._replace(looked_at_s=row.decided_at_s, left_late=False)
    return list(found.values())


def keep_another_look(
    transaction: Transaction,
    row: Any,
    program: Program,
    period: str,
    follows: Outcome,
    *,
    found: Evaluation,
    claim: str = "",
    told_already: bool = False,
) -> None:
    """Keep what follows from evidence that came after a period's close, or from a correction.

    Args:
        follows: what the rule makes of it.
        found: what the rule comes to with it.
        claim: digest of the claim that tells it, or that was taken back; "" for none, and where it is issued later.
        told_already: what is better now cannot be told, since the claim that told the period stands.
    """
    if follows in _CHANGES and not told_already:
        keep_decision(transaction, row, program, period, _CHANGES[follows], found=found, claim=claim)
        return
    reason = _TOLD_ALREADY if follows in _CHANGES else _STANDS[follows]
    keep_decision(transaction, row, program, period, "stands", found=found, reasons=json.dumps([reason._asdict()]))


def name_claim(transaction: Transaction, receipt: str, period: str, claim: str) -> None:
    """Say which claim tells what was made good, once that is issued."""
    mine = (DECISIONS.c.receipt == receipt, DECISIONS.c.period == period, DECISIONS.c.outcome == "made_good")
    last = transaction.row(select(DECISIONS.c.id).where(*mine).order_by(DECISIONS.c.id.desc()))
    if last is not None:
        transaction.execute(update(DECISIONS).where(DECISIONS.c.id == last.id).values(claim=claim))


def decisions_about(node: Node, subject: str, *, shown_max: int) -> tuple[Sequence[Any], int]:
    """Return the newest decisions about a customer, in the order in which they were kept, and how many older there
    are."""
    mine = DECISIONS.c.subject == subject
    rows = node.rows(select(DECISIONS).where(mine).order_by(DECISIONS.c.id.desc()).limit(shown_max))
    if len(rows) < shown_max:
        return rows[::-1], 0
    kept = node.rows(select(func.count()).where(mine))[0][0]
    return rows[::-1], max(0, kept - len(rows))


def find_decisions(node: Node, subject: str, *, shown_max: int = SHOWN_MAX) -> wire.Decisions:
    """Return what this node decided about one of its customers."""
    rows, older = decisions_about(node, subject, shown_max=shown_max)
    return wire.Decisions(
        older_count=older,
        decisions=tuple(
            wire.Decision(
                program=row.program,
                version=row.version,
                period=row.period,
                partner=row.partner,
                receipt=row.receipt,
                outcome=row.outcome,
                counted=row.counted,
                not_counted=json.loads(row.not_counted),
                reasons=tuple(json.loads(row.reasons)),
                decided_at=row.decided_at_s,
                band=row.band,
                flags=json.loads(row.flags),
                asked_count=row.asked,
            )
            for row in rows
        ),
    )
