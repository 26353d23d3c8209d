"""Receipts that are stopped: paused, withdrawn, revoked, invalidated or expired; at this end, or told by the other.

A step that stops answers lists what is on its way, and takes back everything else in its own transaction: an ending
withholds what is queued, a pause holds it. The step is signed and sent, and stands among the unacknowledged until the
other end has signed for it.

Source: DESIGN flow 3, P4, P5, SCENARIOS section 0 (withdrawal of consent) and 2.12 (whose act it was).
"""

from typing import Any

from sqlalchemy import select

from tallystick import wire
from tallystick_consent.entries import ReceiptBody, Signature, receipt_body
from tallystick_consent.receipt import ASKED, IN_FORCE, OPEN, ReceiptState, check_transition
from tallystick_consent.signed import SignedObject, Stop, Withdrawal, open_object, signed_digest
from tallystick_node.flows.claims_state import withhold_claims
from tallystick_node.flows.outgoing import on_its_way, withhold_queued
from tallystick_node.flows.receipts import (
    REQUEST_LIFE_S,
    acknowledge,
    change_receipt,
    end_receipt,
    log_receipt,
    row_of_partner,
    row_of_subject,
    shown_once,
    tell_partner,
    terms_of,
)
from tallystick_node.node import Node, no_such_thing
from tallystick_node.tables import RECEIPTS
from tallystick_node.writer import Once, StoredReply, Transaction


async def withdraw_receipt(node: Node, once: Once, receipt: str, body: wire.WithdrawReceipt) -> StoredReply:
    """The subject stops for good: nothing more is issued, and nothing delivered but what the entry lists.

    Raises:
        NotFound, ReceiptRejected: no receipt of this subject that can be withdrawn.
    """

    def work(transaction: Transaction) -> str:
        row = row_of_subject(transaction, receipt, body.subject)
        content = Withdrawal(receipt=receipt, version=row.version, earned=body.earned, at=transaction.now_s)
        return _stop(node, transaction, row, ReceiptState.WITHDRAWN, content)

    return await shown_once(node, once, work)


async def pause_receipt(node: Node, once: Once, receipt: str, body: wire.PauseReceipt) -> StoredReply:
    """The subject stops for a while: nothing is issued or delivered until it is renewed; events are still recorded.

    Raises:
        NotFound, ReceiptRejected: no receipt of this subject that can be paused.
    """

    def work(transaction: Transaction) -> str:
        row = row_of_subject(transaction, receipt, body.subject)
        return _stop(node, transaction, row, ReceiptState.PAUSED, _content(transaction, row, "paused"))

    return await shown_once(node, once, work)


async def revoke_receipt(node: Node, once: Once, receipt: str, _body: wire.RevokeReceipt) -> StoredReply:
    """This partner ends a receipt, at whichever end it is; a recipient takes back its request likewise.

    Raises:
        NotFound, ReceiptRejected: no receipt here that can be revoked.
    """

    def work(transaction: Transaction) -> str:
        row = _row(transaction, receipt)
        return _stop(node, transaction, row, ReceiptState.REVOKED, _content(transaction, row, "revoked"))

    return await shown_once(node, once, work)


async def invalidate_receipt(node: Node, once: Once, receipt: str, _body: wire.InvalidateReceipt) -> StoredReply:
    """This partner, where the subject gave it, finds that the giving never was one.

    Raises:
        NotFound, ReceiptRejected: no receipt that was given here and can be invalidated.
    """

    def work(transaction: Transaction) -> str:
        row = _row(transaction, receipt)
        if row.role != "issuer":
            raise no_such_thing()
        return _stop(node, transaction, row, ReceiptState.INVALIDATED, _content(transaction, row, "invalidated"))

    return await shown_once(node, once, work)


def receive_withdrawn(
    node: Node, caller: str, transaction: Transaction, body: wire.PeerSigned
) -> wire.PeerAcknowledged:
    """Take a withdrawal: log it, drop the claims' bodies, keep the accounting, and sign its digest.

    Raises:
        SignatureRejected, BadInput, ReceiptRejected, NotFound: not the issuer's, or no receipt that can be withdrawn.
    """
    withdrawn = open_object(body.token, Withdrawal, keys=node.partner(caller).ed25519("receipt"))
    row = row_of_partner(transaction, withdrawn.receipt, partner=caller, role="recipient")
    return _stopped(node, transaction, row, ReceiptState.WITHDRAWN, body.token)


def receive_stopped(node: Node, caller: str, transaction: Transaction, body: wire.PeerSigned) -> wire.PeerAcknowledged:
    """Take a partner's word that a receipt is paused, revoked or invalidated: only a revocation may be a recipient's.

    Raises:
        SignatureRejected, BadInput, ReceiptRejected, NotFound: not that partner's to stop, or not now.
    """
    stop = open_object(body.token, Stop, keys=node.partner(caller).ed25519("receipt"))
    roles = ("issuer", "recipient") if stop.state == "revoked" else ("recipient",)
    row = row_of_partner(transaction, stop.receipt, partner=caller, role=roles)
    return _stopped(node, transaction, row, ReceiptState(stop.state), body.token)


def expire_receipts(transaction: Transaction, *, rows_max: int) -> int:
    """End what has run out: receipts past their validity, and requests that nobody answered. Return how many."""
    now_s = transaction.now_s
    lapsed = RECEIPTS.c.state.in_(IN_FORCE | {ReceiptState.PAUSED}) & (RECEIPTS.c.valid_until_s <= now_s)
    unanswered = RECEIPTS.c.state.in_(ASKED) & (RECEIPTS.c.requested_at_s + REQUEST_LIFE_S <= now_s)
    rows = transaction.execute(select(RECEIPTS).where(lapsed | unanswered).limit(rows_max)).all()
    for row in rows:
        _take(transaction, row, receipt_body(terms_of(row), ReceiptState.EXPIRED))
    return len(rows)


def _content(transaction: Transaction, row: Any, state: str) -> Stop:
    return Stop.model_validate(
        {"receipt": row.id, "version": row.version, "state": state, "at": transaction.now_s}
    )  # fmt: skip


def _stop(node: Node, transaction: Transaction, row: Any, state: ReceiptState, content: SignedObject) -> str:
    """Stop a receipt here, and tell the other end; return its id."""
    check_transition(ReceiptState(row.state), state)
    token = node.signed(content)
    _take(transaction, row, receipt_body(terms_of(row), state, signed=signed_digest(token)))
    change_receipt(transaction, row.id, unacknowledged_since_s=transaction.now_s)
    tell_partner(transaction, f"receipt.{state}", row, wire.PeerSigned(token=token))
    return str(row.id)


def _stopped(node: Node, transaction: Transaction, row: Any, state: ReceiptState, signed: str) -> wire.PeerAcknowledged:
    """Take a stop that the other end signed, and sign for it.

    One that crosses the end of the receipt here is signed for as well: there is nothing left for it to stop.
    """
    token = acknowledge(node, transaction, row, state, signed)
    before = ReceiptState(row.state)
    if before in OPEN:
        check_transition(before, state)
        step = receipt_body(
            terms_of(row),
            state,
            signed=signed_digest(signed),
            acknowledgement=Signature(at=transaction.now_s, digest=signed_digest(token)),
        )
        ended = {} if state is ReceiptState.PAUSED else {"end_acknowledged_at_s": transaction.now_s}
        _take(transaction, row, step, unacknowledged_since_s=None, **ended)
    return wire.PeerAcknowledged(token=token)


def _take(transaction: Transaction, row: Any, step: ReceiptBody, **more: object) -> None:
    """Log a step that stops answers, with what is on its way, and do here what it means."""
    state = ReceiptState(step.state)
    if state is ReceiptState.PAUSED:
        listed = tuple(on_its_way(transaction, row.id))
        log_receipt(transaction, step.model_copy(update={"deliverable": listed}))
        change_receipt(transaction, row.id, state=state, live_leaf=None, **more)
        return
    withheld, left = withhold_queued(transaction, row.id)
    log_receipt(transaction, step.model_copy(update={"deliverable": tuple(left)}))
    withhold_claims(transaction, withheld)
    end_receipt(transaction, row, state, **more)


def _row(transaction: Transaction, receipt: str) -> Any:
    row = transaction.row(select(RECEIPTS).where(RECEIPTS.c.id == receipt))
    if row is None:
        raise no_such_thing()
    return row
