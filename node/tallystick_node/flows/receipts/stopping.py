"""Receipts that are stopped: paused, withdrawn, revoked, invalidated or expired; at this end, or told by the other.

A step that stops answers lists what is on its way, and takes back everything else in its own transaction: an ending
withholds what is queued, a pause holds it. The step is signed and sent, and stands among the unacknowledged until the
other end has signed for it.

Source: DESIGN flow 3, P4, P5, SCENARIOS section 0 (withdrawal of consent) and 2.12 (whose act it was).
"""

from collections.abc import Mapping
from typing import Any, Literal

from sqlalchemy import delete, insert, select

from tallystick import wire
from tallystick_consent.entries import ReceiptBody, Signature, receipt_body
from tallystick_consent.receipts.states import ASKED, IN_FORCE, OPEN, ReceiptState, check_transition
from tallystick_consent.replay import SETTLES_MAX_S
from tallystick_consent.signed import SignedObject, Stop, Withdrawal, signed_digest
from tallystick_ledger.opening import REMEMBERED_S
from tallystick_node.errors import no_such_thing
from tallystick_node.flows.claims.closing import settle_periods
from tallystick_node.flows.claims.ending import withhold_claims
from tallystick_node.flows.claims.made_good import answer_all_planned
from tallystick_node.flows.outgoing import let_leave, on_its_way, withhold_queued
from tallystick_node.flows.people.acts import forget_approvals, keep_no
from tallystick_node.flows.people.standings import require_stopper
from tallystick_node.flows.receipts.bounds import REQUEST_LIFE_S
from tallystick_node.flows.receipts.ending import end_receipt, finish_settling
from tallystick_node.flows.receipts.rows import (
    NOT_STOPPED,
    change_receipt,
    row_of_partner,
    row_of_subject,
    stopped,
    terms_of,
)
from tallystick_node.flows.receipts.showing import shown_once
from tallystick_node.flows.receipts.steps import (
    ACKNOWLEDGE_WITHIN_S,
    acknowledge,
    last_state,
    log_receipt,
    tell_partner,
)
from tallystick_node.log.replies import Once, StoredReply
from tallystick_node.log.transaction import Transaction
from tallystick_node.node import Node
from tallystick_node.storage.tables import CLAIMS, RECEIPTS, SIGNED_FOR
from tallystick_node.storage.tables.base import written

NOTHING: Mapping[str, int] = {}


async def withdraw_receipt(
    node: Node, once: Once, receipt: str, body: wire.WithdrawReceipt, *, app: str
) -> StoredReply:
    """The subject stops for good: nothing more is issued, and nothing delivered but what the entry lists.

    Where what was earned is to be settled, it is evaluated and logged first; it leaves when its period has closed.

    Raises:
        NotFound, ReceiptRejected: no receipt of this subject that can be withdrawn.
        PayloadUnavailable: what was earned cannot be evaluated now; nothing was stopped.
    """

    def work(transaction: Transaction) -> str:
        withdrawn = withdraw(node, transaction, receipt, body)
        keep_no(node, transaction, "stop", subject=body.subject, receipt=receipt, by=body.by, app=app)
        return withdrawn

    return await shown_once(node, once, work)


def withdraw(node: Node, transaction: Transaction, receipt: str, body: wire.WithdrawReceipt) -> str:
    """Do what `withdraw_receipt` does, in a write that is under way; return the receipt's id.

    Raises:
        NotFound, ReceiptRejected, PayloadUnavailable: as `withdraw_receipt`.
    """
    row = row_of_subject(transaction, receipt, body.subject)
    require_stopper(transaction, subject=body.subject, by=body.by)
    check_transition(ReceiptState(row.state), ReceiptState.WITHDRAWN)
    to_come: dict[str, int] = {}
    if body.earned == "settle_earned":
        settle_periods(node, transaction, receipt)
        answer_all_planned(node, transaction, receipt)
        to_come = _issued(transaction, receipt)
    content = Withdrawal(
        receipt=receipt,
        version=row.version,
        earned=body.earned,
        deliverable=tuple(to_come),
        deliverable_until=max(to_come.values(), default=0),
        at=transaction.now_s,
    )
    return _stop(node, transaction, row, ReceiptState.WITHDRAWN, content, to_come=to_come, earned=body.earned)


async def pause_receipt(node: Node, once: Once, receipt: str, body: wire.PauseReceipt, *, app: str) -> StoredReply:
    """The subject stops for a while: nothing is issued or delivered until it is renewed; events are still recorded.

    What others approved before does not count after it: a pause by any one of several holders asks them all anew.

    Raises:
        NotFound, ReceiptRejected: no receipt of this subject that can be paused, or by somebody who may not.
    """

    def work(transaction: Transaction) -> str:
        row = row_of_subject(transaction, receipt, body.subject)
        require_stopper(transaction, subject=body.subject, by=body.by)
        keep_no(node, transaction, "pause", subject=body.subject, receipt=receipt, by=body.by, app=app)
        forget_approvals(transaction, receipt)
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
    withdrawn = node.partners.opened(body.token, Withdrawal, of=caller)
    row = row_of_partner(transaction, withdrawn.receipt, partner=caller, role="recipient")
    until_s = min(withdrawn.deliverable_until, transaction.now_s + SETTLES_MAX_S)
    to_come = dict.fromkeys(withdrawn.deliverable, until_s)
    earned = withdrawn.earned
    return _stopped(node, transaction, row, ReceiptState.WITHDRAWN, body.token, to_come=to_come, earned=earned)


def receive_stopped(node: Node, caller: str, transaction: Transaction, body: wire.PeerSigned) -> wire.PeerAcknowledged:
    """Take a partner's word that a receipt is paused, revoked or invalidated: only a revocation may be a recipient's.

    Raises:
        SignatureRejected, BadInput, ReceiptRejected, NotFound: not that partner's to stop, or not now.
    """
    stop = node.partners.opened(body.token, Stop, of=caller)
    roles = ("issuer", "recipient") if stop.state == "revoked" else ("recipient",)
    row = row_of_partner(transaction, stop.receipt, partner=caller, role=roles)
    return _stopped(node, transaction, row, ReceiptState(stop.state), body.token)


def expire_receipts(transaction: Transaction, *, rows_max: int) -> int:
    """End what has run out: receipts past their validity, and requests that nobody answered. Return how many."""
    now_s = transaction.now_s
    running = RECEIPTS.c.ended_at_s.is_(None) & RECEIPTS.c.state.in_(IN_FORCE | {ReceiptState.PAUSED})
    lapsed = running & (RECEIPTS.c.valid_until_s <= now_s)
    unanswered = RECEIPTS.c.state.in_(written(ASKED)) & (RECEIPTS.c.requested_at_s <= now_s - REQUEST_LIFE_S)
    rows: list[Any] = []
    for over in (lapsed, unanswered):  # one after the other: each has an index of its own
        rows += transaction.execute(select(RECEIPTS).where(over).limit(rows_max - len(rows))).all()
    for row in rows:
        _take(transaction, row, receipt_body(terms_of(row), ReceiptState.EXPIRED))
    return len(rows)


def pause_unconfirmed(node: Node, transaction: Transaction, *, rows_max: int) -> int:
    """Pause what the subject had to confirm by now, and has not; return how many."""
    over = (RECEIPTS.c.state.in_(IN_FORCE), RECEIPTS.c.confirm_by_s <= transaction.now_s)
    rows = transaction.execute(select(RECEIPTS).where(*over).limit(rows_max)).all()
    for row in rows:
        _stop(node, transaction, row, ReceiptState.PAUSED, _content(transaction, row, "paused"))
    return len(rows)


def end_settling(transaction: Transaction, *, rows_max: int) -> int:
    """Let go of what an ending listed and what has run out; return how many receipts that was about."""
    over = RECEIPTS.c.settles_until_s <= transaction.now_s
    rows = transaction.execute(select(RECEIPTS.c.id).where(over).limit(rows_max)).all()
    for row in rows:
        finish_settling(transaction, row.id)
    return len(rows)


def forget_signed(transaction: Transaction) -> None:
    """Let go of signatures for stops that nobody asks for again: the log in which each was said is over, and so is the
    one that continued it, so that a partner that asked all the same would be answered anew, and nobody be convicted."""
    transaction.execute(delete(SIGNED_FOR).where(SIGNED_FOR.c.at_s <= transaction.now_s - REMEMBERED_S))


def _content(transaction: Transaction, row: Any, state: Literal["paused", "revoked", "invalidated"]) -> Stop:
    return Stop(receipt=row.id, version=row.version, state=state, at=transaction.now_s)


def _issued(transaction: Transaction, receipt: str) -> dict[str, int]:
    """Return the claims under a receipt that are issued and not delivered, and when each runs out."""
    mine = (CLAIMS.c.receipt == receipt, CLAIMS.c.role == "issuer", CLAIMS.c.state == "issued")
    rows = transaction.execute(select(CLAIMS.c.digest, CLAIMS.c.expires_at_s).where(*mine).order_by(CLAIMS.c.number))
    return {row.digest: row.expires_at_s for row in rows}


def _stop(
    node: Node,
    transaction: Transaction,
    row: Any,
    state: ReceiptState,
    content: SignedObject,
    *,
    to_come: Mapping[str, int] = NOTHING,
    earned: str = "",
) -> str:
    """Stop a receipt here, and tell the other end; return its id."""
    check_transition(ReceiptState(row.state), state)
    token = node.signed(content)
    due_s = transaction.now_s + ACKNOWLEDGE_WITHIN_S
    step = receipt_body(terms_of(row), state, signed=signed_digest(token), acknowledge_by=due_s, earned=earned)
    _take(transaction, row, step, to_come=to_come)
    kept = {"stop": token, "stop_acknowledgement": None} if row.signed else NOT_STOPPED
    change_receipt(transaction, row.id, unacknowledged_since_s=transaction.now_s, **kept)
    tell_partner(transaction, f"receipt.{state}", row, wire.PeerSigned(token=token))
    return str(row.id)


def _stopped(
    node: Node,
    transaction: Transaction,
    row: Any,
    state: ReceiptState,
    signed: str,
    *,
    to_come: Mapping[str, int] = NOTHING,
    earned: str = "",
) -> wire.PeerAcknowledged:
    """Take a stop that the other end signed, and sign for it, once: what comes again is answered alike.

    One that crosses the end of the receipt here has nothing left to stop; that it was signed for is logged as well,
    once for each state: whoever signs another of the same would only fill this ledger.

    Raises:
        ReceiptRejected: it cannot be stopped so, or that was signed for after its end already.
    """
    digest = signed_digest(signed)
    given = transaction.row(select(SIGNED_FOR.c.token).where(SIGNED_FOR.c.signed == digest))
    if given is not None:
        return wire.PeerAcknowledged(token=given.token)
    before, terms = last_state(row), terms_of(row)
    crossed = None if before in OPEN else f"{row.id}/{state}"
    if crossed is None or transaction.row(select(SIGNED_FOR.c.signed).where(SIGNED_FOR.c.crossed == crossed)):
        check_transition(before, state)
    token = acknowledge(node, transaction, row, state, signed)
    transaction.execute(insert(SIGNED_FOR).values(signed=digest, token=token, crossed=crossed, at_s=transaction.now_s))
    acknowledgement = Signature(at=transaction.now_s, digest=signed_digest(token))
    if crossed is None:
        step = receipt_body(terms, state, signed=digest, acknowledgement=acknowledgement, earned=earned)
        ended = {} if state is ReceiptState.PAUSED else {"end_acknowledged_at_s": transaction.now_s}
        _take(transaction, row, step, to_come=to_come, unacknowledged_since_s=None, **ended)
        if row.signed:
            change_receipt(transaction, row.id, stop=signed, stop_acknowledgement=token)
    else:
        step = receipt_body(terms, state, signed=digest, acknowledgement=acknowledgement, crossed=True)
        transaction.append("receipt", step.document())
    return wire.PeerAcknowledged(token=token)


def _take(
    transaction: Transaction, row: Any, step: ReceiptBody, *, to_come: Mapping[str, int] = NOTHING, **more: Any
) -> None:
    """Log a step that stops answers, with what is on its way, and do here what it means.

    Args:
        to_come: claims that an ending lets through, and when each runs out.
    """
    state = ReceiptState(step.state)
    if state is ReceiptState.PAUSED:
        listed = tuple(on_its_way(transaction, row.id))
        log_receipt(transaction, step.model_copy(update={"deliverable": listed}))
        change_receipt(transaction, row.id, state=state, **stopped(row), **more)
        return
    if to_come:
        let_leave(transaction, row.id)
        log_receipt(transaction, step.model_copy(update={"deliverable": tuple(to_come)}))
        until_s = max(to_come.values())
        end_receipt(transaction, row, state, listed=tuple(to_come), settles_until_s=until_s, **more)
        finish_settling(transaction, row.id)  # some of it may have come before the word that it would
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
