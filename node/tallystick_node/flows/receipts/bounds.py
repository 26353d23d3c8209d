"""What consent may be asked for, and given: how far back, how long, how much beside other receipts; at both ends.

Source: SCENARIOS section 0 (withdrawal of consent), DESIGN P17.
"""

import json

from sqlalchemy import select

from tallystick_consent.errors import ReceiptRejected
from tallystick_consent.program import Program
from tallystick_consent.receipts.receipt import Terms, parse_terms
from tallystick_consent.receipts.states import OPEN
from tallystick_consent.together import require_within_beside
from tallystick_ledger.times import DAY_S
from tallystick_node.errors import Refused
from tallystick_node.flows.programs import known_program
from tallystick_node.log.transaction import Transaction
from tallystick_node.storage.tables import LINKS, RECEIPTS

CLOSING_TAIL_S = 62 * DAY_S
"""How long a receipt outlives the events it covers, so that their last period can close and be answered."""

LOOKBACK_MAX_S = 366 * DAY_S
"""How far before its request a receipt may reach: far enough for a year, near enough for every calendar."""

REQUEST_LIFE_S = 30 * DAY_S
"""How long a subject may take to answer a request, and a request to arrive."""


def require_none_open(transaction: Transaction, link: str) -> None:
    """Refuse a second receipt while one of a link is open: both would answer for one slot."""
    row = transaction.row(select(RECEIPTS.c.id).where(RECEIPTS.c.link == link, RECEIPTS.c.state.in_(OPEN)))
    if row is not None:
        raise Refused(
            "receipt_exists",
            "This link has a receipt that has not ended.",
            remedy="Wait until it has ended, then ask anew.",
            existing_id=row.id,
        )


def require_recent(terms: Terms) -> None:
    """Refuse a request that reaches further back than anybody will evaluate."""
    if terms.events_from_s < terms.valid_from_s - LOOKBACK_MAX_S:
        raise ReceiptRejected(
            "period_not_covered", "A request reaches more than a year back.", remedy="Ask from a later time on."
        )


def require_within_receipts(transaction: Transaction, program: Program, *, link: str) -> None:
    """Refuse a program that, beside the subject's other receipts with the same partner, tells more than they permit.

    The subject is this node's own, at either end: what the other end knows of the same person is not asked.

    Args:
        program: what consent is asked, or given, for.
        link: over which link; its own receipts are passed over.

    Raises:
        RulesTellTooMuch: together they tell more (P17).
    """
    asked = select(LINKS.c.subject, LINKS.c.partner, LINKS.c.role).where(LINKS.c.id == link)
    row = transaction.row(asked)
    assert row is not None, "consent is asked over a link that stands"
    live = (
        select(RECEIPTS.c.terms)
        .join(LINKS, LINKS.c.id == RECEIPTS.c.link)
        .where(
            LINKS.c.subject == row.subject,
            LINKS.c.partner == row.partner,
            LINKS.c.role == row.role,
            LINKS.c.id != link,
            RECEIPTS.c.ended_at_s.is_(None),
        )
    )
    terms = [parse_terms(json.loads(each.terms)) for each in transaction.execute(live).all()]
    require_within_beside(
        program, [known_program(transaction, each.recipient, each.program, each.program_version) for each in terms]
    )
