"""Erasure of a link whose subject asked us: the ledger says it, the other end is asked, its signed answer is logged.

What was live ends, the entry is written, and the partner is asked in the same transaction; through the outbox, so that
a partner which is away is asked when it returns.

Source: DESIGN flow 8 and P9, CONSTRUCTIONS (between nodes), GDPR articles 17 and 19.
"""

import json
from typing import Any

from sqlalchemy import select, update

from tallystick import wire
from tallystick_consent.entries import ErasureBody, ReceiptBody, Signature, erasure_body, receipt_body
from tallystick_consent.erasure import ErasureAttestation, ErasureRequest
from tallystick_consent.errors import ReceiptRejected
from tallystick_consent.receipts.states import ReceiptState
from tallystick_consent.signed import Withdrawal, signed_digest
from tallystick_node.flows.claims.ending import withhold_claims
from tallystick_node.flows.outgoing import queue_message
from tallystick_node.flows.receipts.duties import discharge_of
from tallystick_node.flows.receipts.ending import end_receipt
from tallystick_node.flows.receipts.rows import change_receipt, terms_of
from tallystick_node.flows.receipts.steps import (
    ACKNOWLEDGE_WITHIN_S,
    last_state,
    log_receipt,
    require_timely,
    tell_partner,
)
from tallystick_node.flows.subjects.burying import (
    can_be_withdrawn,
    empty_link,
    empty_messages,
    hold_back,
    is_sending,
    unscrubbed,
)
from tallystick_node.flows.subjects.erasure import ATTEST_WITHIN_S
from tallystick_node.flows.subjects.erasure_endings import Held, refuse_if_asked, still_issued
from tallystick_node.log.transaction import Transaction
from tallystick_node.node import Node
from tallystick_node.storage.tables import ERASURES, RECEIPTS


def due_erasures(node: Node, *, rows_max: int) -> list[str]:
    """Return the erasures whose time has come."""
    due = (ERASURES.c.state == "due", ERASURES.c.due_s <= node.now_s())
    rows = node.rows(select(ERASURES.c.id).where(*due).order_by(ERASURES.c.due_s, ERASURES.c.id).limit(rows_max))
    return [row.id for row in rows]


def ask_partner(node: Node, transaction: Transaction, erasure: str) -> None:
    """End what was live on a link, log its erasure, and ask the other end: in one transaction, at the link's own time.

    It waits while something about the link is being sent: whether that arrived is told by its answer. The request's id
    is drawn here: rows that came back with a backup may have asked before, under another.
    """
    row = transaction.row(select(ERASURES).where(ERASURES.c.id == erasure, ERASURES.c.state == "due"))
    if row is None or is_sending(transaction, row.link):
        return
    request = ErasureRequest(
        erasure=transaction.new_id("era"),
        origin=node.host,
        partner=row.partner,
        link=row.link,
        receipts=tuple(json.loads(row.receipts)),
        at=transaction.now_s,
    )
    token = node.signed(request)
    held = _held(transaction, row)
    for receipt in transaction.execute(select(RECEIPTS).where(RECEIPTS.c.link == row.link)).all():
        _end(node, transaction, receipt, token, held=held)
        discharge_of(transaction, receipt.id, "evidence")
    empty_link(transaction, row.link)
    appended = transaction.append("erasure", erasure_body(request, signed=signed_digest(token)).document())
    queue_message(
        transaction, "erasure.asked", partner=row.partner, about=request.erasure, body=wire.PeerSigned(token=token)
    )
    _change(
        transaction,
        row,
        id=request.erasure,
        state="asked",
        asked_at_s=transaction.now_s,
        request=token,
        log=transaction.log,
        leaf=appended.index,
    )


def attested(node: Node, transaction: Transaction, erasure: str, token: str) -> None:
    """Log a partner's signed answer, and empty the last messages to it.

    Raises:
        SignatureRejected, BadInput, ReceiptRejected: not the partner's answer to this request.
    """
    row = transaction.row(select(ERASURES).where(ERASURES.c.id == erasure))
    assert row is not None, "an erasure is never removed before its message"
    if row.state == "attested":
        return
    answer = node.partners.opened(token, ErasureAttestation, of=row.partner)
    if (answer.erasure, answer.partner, answer.request) != (row.id, row.partner, signed_digest(row.request)):
        raise ReceiptRejected(
            "receipt_malformed", "An attestation is of something else.", remedy="Answer the request that was sent."
        )
    require_timely(answer.at, since_s=row.asked_at_s, now_s=transaction.now_s)
    signed = Signature(at=answer.at, digest=signed_digest(token))
    logged = erasure_body(_requested(row, host=node.host), signed=answer.request, attestation=signed)
    _acknowledge_endings(transaction, row, signed)
    appended = transaction.append("erasure", logged.document())
    _change(
        transaction,
        row,
        state="attested",
        attestation=token,
        attested_at_s=answer.at,
        attested_log=transaction.log,
        attested_leaf=appended.index,
    )
    empty_messages(transaction, row.link, json.loads(row.receipts))


def refused(transaction: Transaction, erasure: str) -> None:
    """Remember that a partner will not attest: it does not know of the link, or refuses; the subject is shown that."""
    transaction.execute(update(ERASURES).where(ERASURES.c.id == erasure).values(state="refused"))


def _end(node: Node, transaction: Transaction, receipt: Any, request: str, *, held: Held) -> None:
    """End one receipt of a link whose subject asked us: withdrawn where it was given, refused where it was asked for.

    The issuer tells the recipient by a withdrawal of its own; a recipient's request says it all.
    """
    terms = terms_of(receipt)
    if refuse_if_asked(transaction, receipt):
        if receipt.role == "issuer":
            tell_partner(transaction, "receipt.refused", receipt, wire.PeerReceiptRefused(receipt=receipt.id))
        return
    if not can_be_withdrawn(last_state(receipt)):
        withhold_claims(transaction, still_issued(transaction, receipt.id, held[0]))
        return
    now_s = transaction.now_s
    if receipt.role == "recipient":
        digest, due_s = signed_digest(request), now_s + ATTEST_WITHIN_S
        log_receipt(transaction, receipt_body(terms, ReceiptState.WITHDRAWN, signed=digest, acknowledge_by=due_s))
        end_receipt(transaction, receipt, ReceiptState.WITHDRAWN)
        return
    token = node.signed(Withdrawal(receipt=receipt.id, version=terms.version, earned="drop", at=now_s))
    step = receipt_body(
        terms,
        ReceiptState.WITHDRAWN,
        signed=signed_digest(token),
        deliverable=tuple(still_issued(transaction, receipt.id, held[1])),
        acknowledge_by=now_s + ACKNOWLEDGE_WITHIN_S,
        earned="drop",
    )
    log_receipt(transaction, step)
    withhold_claims(transaction, still_issued(transaction, receipt.id, held[0]))
    end_receipt(transaction, receipt, ReceiptState.WITHDRAWN, unacknowledged_since_s=now_s)
    tell_partner(transaction, "receipt.withdrawn", receipt, wire.PeerSigned(token=token))


def _acknowledge_endings(transaction: Transaction, row: Any, answer: Signature) -> None:
    """Log that the other end signed for the receipts which our request ended; a withdrawal has an answer of its own."""
    for receipt in transaction.execute(select(RECEIPTS).where(RECEIPTS.c.link == row.link)).all():
        last = ReceiptBody.model_validate_json(receipt.last_step)
        if last.signed == signed_digest(row.request) and last.acknowledgement is None:
            body = receipt_body(terms_of(receipt), last.state, signed=last.signed, acknowledgement=answer)
            log_receipt(transaction, body)
            change_receipt(transaction, receipt.id, end_acknowledged_at_s=answer.at)


def _held(transaction: Transaction, row: Any) -> Held:
    """Return what was held back when the subject asked, and since; and what may have arrived."""
    then, now = json.loads(row.held), hold_back(transaction, row.link)
    return [*then["held"], *now[0]], [*then["on_their_way"], *now[1]]


def _requested(row: Any, *, host: str) -> ErasureRequest:
    """Return what we asked for, as it was signed."""
    return ErasureRequest(
        erasure=row.id,
        origin=host,
        partner=row.partner,
        link=row.link,
        receipts=tuple(json.loads(row.receipts)),
        at=row.asked_at_s,
    )


def erasures_under_way(transaction: Transaction, *, host: str) -> list[ErasureBody]:
    """Return the entry of each erasure that this node logged and no partner has attested."""
    waiting = (ERASURES.c.of != "", ERASURES.c.state.in_(("asked", "refused")))
    rows = transaction.execute(select(ERASURES).where(*waiting).order_by(ERASURES.c.id)).all()
    return [erasure_body(_requested(row, host=host), signed=signed_digest(row.request)) for row in rows]


def _change(transaction: Transaction, row: Any, **values: object) -> None:
    transaction.execute(update(ERASURES).where(ERASURES.c.id == row.id).values(**values))
    unscrubbed(transaction, row.buried)
