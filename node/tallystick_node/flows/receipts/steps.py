"""Steps of receipts: each is logged, told to the other end, and signed for there, in time.

Source: DESIGN flow 3, CONSTRUCTIONS (keys).
"""

import json
from typing import Any

from sqlalchemy import select, update

from tallystick import wire
from tallystick_consent.entries import ReceiptBody, Signature, receipt_body
from tallystick_consent.errors import ReceiptRejected
from tallystick_consent.receipts.states import IN_FORCE, OPEN, ReceiptState
from tallystick_consent.replay import TIME_SLACK_S
from tallystick_consent.signed import Acknowledgement, signed_digest
from tallystick_ledger.times import DAY_S
from tallystick_node.flows.outgoing import queue_message
from tallystick_node.flows.receipts.rows import change_receipt, terms_of
from tallystick_node.log.transaction import Appended, Transaction
from tallystick_node.node import Node
from tallystick_node.paging import read_page
from tallystick_node.storage.tables import MESSAGES, RECEIPTS

ACKNOWLEDGE_WITHIN_S = 7 * DAY_S
"""How long a partner may take to sign for a pause or an ending: a week, in which one that is down is mended."""


def log_receipt(transaction: Transaction, body: ReceiptBody) -> Appended:
    """Log a step of a receipt that has its row, and keep the step: with what it let through, also after that was
    acknowledged; and where the entry stands, if it names what is signed."""
    before = transaction.row(select(RECEIPTS.c.last_step).where(RECEIPTS.c.id == body.receipt))
    kept = body
    if before is not None and before.last_step and ReceiptState(body.state) not in IN_FORCE:
        last = ReceiptBody.model_validate_json(before.last_step)
        if last.state == body.state:
            kept = body.model_copy(update={"deliverable": last.deliverable})
    appended = transaction.append("receipt", body.document())
    place: dict[str, object] = {}
    if body.signed:
        what = "signed" if ReceiptState(body.state) in IN_FORCE else "stop"
        place = {f"{what}_log": transaction.log, f"{what}_leaf": appended.index}
    change_receipt(transaction, body.receipt, last_step=kept.model_dump_json(), **place)
    return appended


def last_state(row: Any) -> ReceiptState:
    """Return the state that the ledger has a receipt in; its row is ahead of that while its subject is erased."""
    return ReceiptState(json.loads(row.last_step)["state"] if row.last_step else row.state)


def tell_partner(transaction: Transaction, kind: str, row: Any, body: wire.Request) -> None:
    """Queue a message about a receipt for the other end."""
    queue_message(transaction, kind, partner=row.partner, about=row.id, body=body)


def acknowledge(node: Node, transaction: Transaction, row: Any, state: str, signed: str) -> str:
    """Return our signature over the digest of what the other partner signed about a receipt, as its row is now."""
    content = {"receipt": row.id, "version": row.version, "state": state, "digest": signed_digest(signed)}
    return node.signed(Acknowledgement.model_validate({**content, "at": transaction.now_s}))


def acknowledged(
    node: Node, transaction: Transaction, row: Any, *, state: str, sent: str, token: str
) -> Appended | None:
    """Log the other partner's signature over a step; None where that is not the last one any more, or is logged.

    Args:
        state: the step's.
        sent: what we signed.
        token: its answer.

    Raises:
        SignatureRejected, BadInput, ReceiptRejected: not that partner's signature over this step.
    """
    answer = node.partners.opened(token, Acknowledgement, of=row.partner)
    if (answer.receipt, answer.state, answer.digest) != (row.id, state, signed_digest(sent)):
        raise ReceiptRejected(
            "receipt_malformed", "An acknowledgement is of something else.", remedy="Acknowledge what was sent."
        )
    last = _last_step(row, signed=signed_digest(sent))
    if (last.state, last.signed, last.acknowledgement) != (state, signed_digest(sent), None):
        return None
    require_timely(answer.at, since_s=row.unacknowledged_since_s or row.ended_at_s or 0, now_s=transaction.now_s)
    signature = Signature(at=answer.at, digest=signed_digest(token))
    appended = log_receipt(transaction, last.model_copy(update={"acknowledgement": signature, "deliverable": ()}))
    change_receipt(transaction, row.id, unacknowledged_since_s=None)
    if ReceiptState(state) not in IN_FORCE:
        is_kept = (RECEIPTS.c.id == row.id, RECEIPTS.c.stop.is_not(None))  # and was not erased meanwhile
        transaction.execute(update(RECEIPTS).where(*is_kept).values(stop_acknowledgement=token))
    if ReceiptState(state) not in OPEN:
        change_receipt(transaction, row.id, end_acknowledged_at_s=answer.at)
    return appended


def require_timely(signed_at_s: int, *, since_s: int, now_s: int) -> None:
    """Refuse a partner's signature that states a time before what it is for, or one to come: it would stand in our
    ledger for good, and our customer be shown it.

    Raises:
        ReceiptRejected: likewise.
    """
    if not since_s - TIME_SLACK_S <= signed_at_s <= now_s + TIME_SLACK_S:
        raise ReceiptRejected(
            "receipt_malformed",
            "A signature states a time before what it is for, or one to come.",
            remedy="Sign with the time at which it is signed, by a clock that is right.",
        )


def _last_step(row: Any, *, signed: str) -> ReceiptBody:
    """Return a receipt's last step; a row of version 0.1 kept none, and had one that was signed at most."""
    if row.last_step:
        return ReceiptBody.model_validate_json(row.last_step)
    grade = json.loads(row.evidence)["grade"] if row.state == ReceiptState.GIVEN else ""
    return receipt_body(terms_of(row), row.state, grade=grade, signed=signed)


def find_unacknowledged(node: Node, *, limit: int, cursor: str | None) -> wire.Unacknowledged:
    """Return a page of the steps that partners have not signed for, those that wait longest first.

    Raises:
        NotFound: the cursor is not one of this list.
    """
    waiting = select(RECEIPTS).where(RECEIPTS.c.unacknowledged_since_s.is_not(None))
    order = (RECEIPTS.c.unacknowledged_since_s, RECEIPTS.c.id)
    now_s, page = node.now_s(), read_page(node, waiting, by=order, limit=limit, cursor=cursor)
    listed = [row.id for row in page.rows]
    given_up = {
        row.about
        for row in node.rows(
            select(MESSAGES.c.about, MESSAGES.c.kind, RECEIPTS.c.state.label("step"))
            .join(RECEIPTS, RECEIPTS.c.id == MESSAGES.c.about)
            .where(MESSAGES.c.state == "rejected", MESSAGES.c.about.in_(listed))
        )
        if row.kind == f"receipt.{row.step}"
    }
    return wire.Unacknowledged(
        steps=tuple(
            wire.UnacknowledgedStep(
                receipt=row.id,
                partner=row.partner,
                state=row.state,
                since=row.unacknowledged_since_s,
                refused=row.id in given_up,
                due=due_s,
                overdue=due_s is not None and due_s <= now_s,
            )
            for row in page.rows
            for due_s in (_acknowledge_by(row),)
        ),
        has_more=page.has_more,
        next_cursor=page.next_cursor,
    )


def _acknowledge_by(row: Any) -> int | None:
    """Return when a receipt's last step must be signed for; None where it says no time, as what version 0.1 took."""
    step: dict[str, Any] = json.loads(row.last_step or "{}")
    return step.get("acknowledge_by")
