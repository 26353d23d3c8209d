"""Receipts, as both ends keep them: their rows, their end, and how they are shown.

`receipts_recipient` is the end that asks, `receipts_issuer` the end where the subject answers. Every transition is an
entry on both ledgers.

Source: DESIGN flow 3, CONSTRUCTIONS (keys), SCENARIOS section 0 (withdrawal of consent).
"""

import json
from typing import Any

from sqlalchemy import Select, insert, select, update

from tallystick import wire
from tallystick_consent.authority import Authority
from tallystick_consent.entries import ReceiptBody, receipt_body
from tallystick_consent.errors import ReceiptRejected
from tallystick_consent.receipt import Notice, Receipt, ReceiptState, Terms, parse_terms
from tallystick_ledger.encoding import canonical_json
from tallystick_node.errors import Refused
from tallystick_node.flows.claims_state import drop_claims_of, withhold_claims
from tallystick_node.flows.links import await_own_receipt, end_link
from tallystick_node.flows.outgoing import queue_message, withhold_queued
from tallystick_node.node import Node, no_such_thing
from tallystick_node.tables import DECISIONS, LINKS, RECEIPTS
from tallystick_node.writer import Appended, Once, StoredReply, Transaction

DAY_S = 86_400
CLOSING_TAIL_S = 62 * DAY_S
"""How long a receipt outlives the events it covers, so that their last period can close and be answered."""

LOOKBACK_MAX_S = 366 * DAY_S
"""How far before its request a receipt may reach: far enough for a year, near enough for every calendar."""

REQUEST_LIFE_S = 30 * DAY_S
"""How long a subject may take to answer a request."""

GUARDIAN = Authority(kind="guardian")


def expire_receipts(transaction: Transaction, *, rows_max: int) -> int:
    """End what has run out: receipts past their validity, and requests that nobody answered. Return how many."""
    now_s = transaction.now_s
    lapsed = (RECEIPTS.c.state == ReceiptState.GIVEN) & (RECEIPTS.c.valid_until_s <= now_s)
    unanswered = (RECEIPTS.c.state == ReceiptState.REQUESTED) & (RECEIPTS.c.requested_at_s + REQUEST_LIFE_S <= now_s)
    rows = transaction.execute(select(RECEIPTS).where(lapsed | unanswered).limit(rows_max)).all()
    for row in rows:
        withheld, on_its_way = withhold_queued(transaction, row.id)
        body = receipt_body(terms_of(row), ReceiptState.EXPIRED, deliverable=tuple(on_its_way))
        log_receipt(transaction, body)
        withhold_claims(transaction, withheld)
        end_receipt(transaction, row, ReceiptState.EXPIRED)
    return len(rows)


def find_receipts(node: Node, body: wire.FindReceipts) -> wire.Receipts:
    """Return the receipts of one customer or link, oldest first.

    Raises:
        NotFound: neither is named.
    """
    if (body.subject is None) == (body.link is None):
        raise no_such_thing()
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
    return _shown(transaction.row(_with_hint().where(RECEIPTS.c.id == receipt)))


def show_receipts(transaction: Transaction, subject: str) -> tuple[wire.Receipt, ...]:
    """Return the receipts of one customer as they stand in this write, oldest first."""
    mine = _with_hint().where(LINKS.c.subject == subject).order_by(RECEIPTS.c.requested_at_s, RECEIPTS.c.id)
    return tuple(_shown(row) for row in transaction.execute(mine).all())


def receipt_of(row: Any) -> Receipt:
    """Return a row as `decide` takes it."""
    return Receipt(terms_of(row), ReceiptState(row.state), acknowledged=row.live_leaf is not None)


def terms_of(row: Any) -> Terms:
    """Return the terms in a row."""
    return parse_terms(json.loads(row.terms))


def with_subject() -> Select[Any]:
    """Return the query of receipts, each with the subject of its link."""
    return select(RECEIPTS, LINKS.c.subject).join(LINKS, LINKS.c.id == RECEIPTS.c.link)


def row_of_partner(transaction: Transaction, receipt: object, *, partner: str, role: str) -> Any:
    """Return the row of a receipt with a partner.

    Raises:
        NotFound: there is none at this end.
    """
    row = transaction.row(
        select(RECEIPTS).where(RECEIPTS.c.id == receipt, RECEIPTS.c.partner == partner, RECEIPTS.c.role == role)
    )
    if row is None:
        raise no_such_thing()
    return row


def require_none_open(transaction: Transaction, link: str) -> None:
    """Refuse a second receipt while one of a link is open: both would answer for one slot."""
    row = transaction.row(
        select(RECEIPTS.c.id).where(
            RECEIPTS.c.link == link, RECEIPTS.c.state.in_((ReceiptState.REQUESTED, ReceiptState.GIVEN))
        )
    )
    if row is not None:
        raise Refused(
            "receipt_exists",
            "This link has a receipt that is requested or given.",
            remedy="Wait until it has ended, then ask anew.",
            existing_id=row.id,
        )


def require_recent(terms: Terms) -> None:
    """Refuse a request that reaches further back than anybody will evaluate."""
    if terms.events_from_s < terms.valid_from_s - LOOKBACK_MAX_S:
        raise ReceiptRejected(
            "period_not_covered", "A request reaches more than a year back.", remedy="Ask from a later time on."
        )


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


def log_receipt(transaction: Transaction, body: ReceiptBody) -> Appended:
    """Log a step of a receipt that has its row, and keep the step: with what its ending let through, also after that
    was acknowledged."""
    before = transaction.row(select(RECEIPTS.c.last_step).where(RECEIPTS.c.id == body.receipt))
    kept = body
    if before is not None and before.last_step:
        last = ReceiptBody.model_validate_json(before.last_step)
        if last.state == body.state:
            kept = body.model_copy(update={"deliverable": last.deliverable})
    change_receipt(transaction, body.receipt, last_step=kept.model_dump_json())
    return transaction.append("receipt", body.document())


def change_receipt(transaction: Transaction, receipt: str, **values: object) -> None:
    """Change columns of a receipt."""
    transaction.execute(update(RECEIPTS).where(RECEIPTS.c.id == receipt).values(**values))


def end_receipt(transaction: Transaction, row: Any, state: ReceiptState, **more: object) -> None:
    """End a receipt, what was derived under it, and its link where it was the last one there."""
    ended = {"state": state, "ended_at_s": transaction.now_s, "live_leaf": None}
    change_receipt(transaction, row.id, next_period=None, next_close_s=None, **ended, **more)
    drop_claims_of(transaction, row.id)
    transaction.execute(DECISIONS.delete().where(DECISIONS.c.receipt == row.id))
    alive = select(RECEIPTS.c.id).where(
        RECEIPTS.c.link == row.link, RECEIPTS.c.state.in_((ReceiptState.REQUESTED, ReceiptState.GIVEN))
    )
    if transaction.row(alive) is not None:
        return
    if state is ReceiptState.EXPIRED and terms_of(row).authority == GUARDIAN:
        await_own_receipt(transaction, row.link)
    else:
        end_link(transaction, row.link)


def tell_partner(transaction: Transaction, kind: str, row: Any, body: wire.Request) -> None:
    """Queue a message about a receipt for the other end."""
    queue_message(transaction, kind, partner=row.partner, about=row.id, body=body)


async def shown_once(node: Node, once: Once, work: Any, *, status: int = 200) -> StoredReply:
    """Do a write that changes a receipt, and answer with the receipt as it then stands."""

    def and_show(transaction: Transaction) -> wire.Receipt:
        return show_receipt(transaction, work(transaction))

    def render(shown: wire.Receipt, proofs: tuple[wire.EntryProof, ...]) -> StoredReply:
        return StoredReply(status, shown.model_copy(update={"proofs": proofs}).model_dump_json())

    return await node.once(once, and_show, render)


def _with_hint() -> Any:
    return select(RECEIPTS, LINKS.c.partner_hint).join(LINKS, LINKS.c.id == RECEIPTS.c.link)


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
    )
