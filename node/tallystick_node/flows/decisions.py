"""What this node decided about a subject's period; kept for the subject to read, and dropped with the receipt."""

import json
from typing import Any

from sqlalchemy import insert, select

from tallystick import wire
from tallystick_consent.decide import Refusal
from tallystick_consent.program import Program
from tallystick_node.node import Node
from tallystick_node.tables import DECISIONS
from tallystick_node.writer import Transaction


def keep_refusal(transaction: Transaction, row: Any, program: Program, period: str, refusal: Refusal) -> None:
    """Keep a refusal with all its reasons."""
    reasons = json.dumps([reason._asdict() for reason in refusal.reasons])
    keep_decision(transaction, row, program, period, "refused", reasons=reasons)


def keep_decision(
    transaction: Transaction,
    row: Any,
    program: Program,
    period: str,
    outcome: str,
    *,
    counted: int = 0,
    not_counted: dict[str, int] | None = None,
    reasons: str = "[]",
) -> None:
    """Keep a decision; `outcome` is `issued`, `not_reached` or `refused`.

    Args:
        counted: how many inputs counted.
        not_counted: how many did not, by reason.
        reasons: of a refusal, JSON.
    """
    transaction.execute(
        insert(DECISIONS).values(
            subject=row.subject,
            receipt=row.id,
            partner=row.partner,
            program=program.program,
            version=program.version,
            period=period,
            outcome=outcome,
            counted=counted,
            not_counted=json.dumps(not_counted or {}),
            reasons=reasons,
            decided_at_s=transaction.now_s,
        )
    )


def find_decisions(node: Node, subject: str) -> wire.Decisions:
    """Return what this node decided about one of its customers."""
    rows = node.rows(select(DECISIONS).where(DECISIONS.c.subject == subject).order_by(DECISIONS.c.id))
    return wire.Decisions(
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
            )
            for row in rows
        )
    )
