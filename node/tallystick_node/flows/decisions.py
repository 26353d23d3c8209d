"""What this node decided about a subject's period; kept for the subject to read, and dropped with the receipt."""

import json
from typing import Any

from sqlalchemy import insert, select

from tallystick import wire
from tallystick_consent.decide import Refusal
from tallystick_consent.program import Program
from tallystick_consent.rules import Evaluation
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
    found: Evaluation | None = None,
    reasons: str = "[]",
    claim: str = "",
) -> None:
    """Keep a decision; `outcome` is a word of `wire.Decision`.

    Args:
        found: what the rule came to, where it was evaluated.
        reasons: of a refusal, JSON.
        claim: digest of the claim that tells it.
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
            counted=found.counted if found else 0,
            not_counted=json.dumps(found.not_counted if found else {}),
            reasons=reasons,
            decided_at_s=transaction.now_s,
            band=found.band if found else None,
            flags=json.dumps(found.flags if found else {}),
            claim=claim,
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
                band=row.band,
                flags=json.loads(row.flags),
            )
            for row in rows
        )
    )
