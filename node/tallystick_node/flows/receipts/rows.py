"""Receipts as their rows are kept, at both ends, and read again.

`recipient` is the end that asks, `issuer` and `giving` the end where the subject answers. Every transition is an entry
on both ledgers (`steps`).

Source: DESIGN flow 3, CONSTRUCTIONS (keys).
"""

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Select, insert, select, update

from tallystick_consent.receipts.authority import Authority
from tallystick_consent.receipts.receipt import Notice, Receipt, Terms, parse_terms
from tallystick_consent.receipts.states import ReceiptState
from tallystick_consent.signed import signed_digest
from tallystick_ledger.encoding import canonical_json
from tallystick_node.errors import no_such_thing
from tallystick_node.log.transaction import Transaction
from tallystick_node.storage.tables import LINKS, RECEIPTS

GUARDIAN = Authority(kind="guardian")


def receipt_of(row: Any, *, again: bool = False) -> Receipt:
    """Return a row as `decide` takes it.

    Args:
        again: an answer that was given, and counted, is given in another claim.
    """
    return Receipt(
        terms_of(row),
        ReceiptState(row.state),
        acknowledged=row.live_leaf is not None,
        uses=row.uses - 1 if again else row.uses,
        confirm_by_s=row.confirm_by_s,
    )


def terms_of(row: Any) -> Terms:
    """Return the terms in a row."""
    return parse_terms(json.loads(row.terms))


def with_subject() -> Select[Any]:
    """Return the query of receipts, each with the subject of its link, and up to when earlier links of theirs told."""
    return select(RECEIPTS, LINKS.c.subject, LINKS.c.answered_until_s).join(LINKS, LINKS.c.id == RECEIPTS.c.link)


def row_of_partner(transaction: Transaction, receipt: object, *, partner: str, role: str | tuple[str, ...]) -> Any:
    """Return the row of a receipt with a partner.

    Raises:
        NotFound: there is none at this end.
    """
    roles = (role,) if isinstance(role, str) else role
    row = transaction.row(
        select(RECEIPTS).where(RECEIPTS.c.id == receipt, RECEIPTS.c.partner == partner, RECEIPTS.c.role.in_(roles))
    )
    if row is None:
        raise no_such_thing()
    return row


def row_of_subject(transaction: Transaction, receipt: str, subject: str) -> Any:
    """Return the row of a receipt that a customer of ours gives or stops here, with the subject of its link.

    Raises:
        NotFound: there is none of theirs.
    """
    mine = with_subject().where(RECEIPTS.c.id == receipt, RECEIPTS.c.role == "issuer", LINKS.c.subject == subject)
    row = transaction.row(mine)
    if row is None:
        raise no_such_thing()
    transaction.subject = subject
    return row


def insert_receipt(transaction: Transaction, terms: Terms, notice: Notice, *, partner: str, role: str) -> None:
    """Keep a receipt that was just requested."""
    transaction.execute(
        insert(RECEIPTS).values(
            id=terms.receipt,
            version=terms.version,
            link=terms.link,
            partner=partner,
            role=role,
            state=ReceiptState.REQUESTED,
            terms=canonical_json(terms.document()).decode(),
            notice=notice.model_dump_json(),
            requested_at_s=transaction.now_s,
            valid_until_s=terms.valid_until_s,
            uses=0,
        )
    )
    transaction.execute(update(LINKS).where(LINKS.c.id == terms.link).values(waits_until_s=None))


def change_receipt(transaction: Transaction, receipt: str, **values: object) -> None:
    """Change columns of a receipt."""
    transaction.execute(update(RECEIPTS).where(RECEIPTS.c.id == receipt).values(**values))


def last_yes(row: Any) -> str:
    """Return the digest of the signed receipt or renewal that is the last yes to a receipt, "" before there is one."""
    return signed_digest(row.signed) if row.signed else ""


NOT_STOPPED: Mapping[str, None] = {"stop": None, "stop_acknowledgement": None}
"""What is kept of a stop once the subject has said yes again, or where it may not be kept."""


def stopped(row: Any) -> dict[str, object]:
    """Return what a receipt's leaves become when answers stop."""
    return {"live_leaf": None, "lived_leaf": row.lived_leaf if row.live_leaf is None else row.live_leaf}
