"""Receipts as apps are shown them."""

import json
from typing import Any

from sqlalchemy import select

from tallystick import wire
from tallystick_consent.receipts.receipt import Notice
from tallystick_node.errors import no_such_thing
from tallystick_node.flows.receipts.rows import last_yes
from tallystick_node.log.replies import Once, StoredReply
from tallystick_node.log.transaction import Transaction
from tallystick_node.node import Node
from tallystick_node.storage.tables import LINKS, RECEIPTS


def find_receipts(node: Node, body: wire.FindReceipts) -> wire.Receipts:
    """Return the receipts of one customer or link, oldest first."""
    mine = LINKS.c.subject == body.subject if body.subject is not None else LINKS.c.id == body.link
    rows = node.rows(_with_hint().where(mine).order_by(RECEIPTS.c.requested_at_s, RECEIPTS.c.id))
    return wire.Receipts(receipts=tuple(_shown(row) for row in rows))


def get_receipt(node: Node, receipt: str) -> wire.Receipt:
    """Return one receipt.

    Raises:
        NotFound: there is none of that id.
    """
    row = node.row(_with_hint().where(RECEIPTS.c.id == receipt))
    if row is None:
        raise no_such_thing()
    return _shown(row)


def show_receipt(transaction: Transaction, receipt: str) -> wire.Receipt:
    """Return a receipt as it stands in this write."""
    row = transaction.row(_with_hint().where(RECEIPTS.c.id == receipt))
    assert row is not None, "a write shows a receipt that it has found"
    transaction.subject = row.subject
    return _shown(row)


def show_receipts(transaction: Transaction, subject: str) -> tuple[wire.Receipt, ...]:
    """Return the receipts of one customer as they stand in this write, oldest first."""
    transaction.subject = subject
    mine = _with_hint().where(LINKS.c.subject == subject).order_by(RECEIPTS.c.requested_at_s, RECEIPTS.c.id)
    return tuple(_shown(row) for row in transaction.execute(mine).all())


async def shown_once(node: Node, once: Once, work: Any, *, status: int = 200) -> StoredReply:
    """Do a write that changes a receipt, and answer with the receipt as it then stands."""

    def and_show(transaction: Transaction) -> wire.Receipt:
        return show_receipt(transaction, work(transaction))

    def render(shown: wire.Receipt, proofs: tuple[wire.EntryProof, ...]) -> StoredReply:
        return StoredReply(status, shown.model_copy(update={"proofs": proofs}).model_dump_json())

    return await node.once(once, and_show, render)


def _with_hint() -> Any:
    return select(RECEIPTS, LINKS.c.partner_hint, LINKS.c.subject).join(LINKS, LINKS.c.id == RECEIPTS.c.link)


def _shown(row: Any) -> wire.Receipt:
    return wire.Receipt(
        receipt=row.id,
        version=row.version,
        state=row.state,
        partner=row.partner,
        terms=json.loads(row.terms),
        notice=Notice.model_validate_json(row.notice),
        partner_hint=row.partner_hint,
        acknowledged_at=row.acknowledged_at_s,
        ended_at=row.ended_at_s,
        end_acknowledged_at=row.end_acknowledged_at_s,
        unacknowledged_since=row.unacknowledged_since_s,
        uses=row.uses,
        confirm_by=row.confirm_by_s,
        signed=last_yes(row),
    )
