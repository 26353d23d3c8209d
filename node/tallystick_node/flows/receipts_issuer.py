"""Receipts at the issuer: shown to the subject, who gives, refuses or withdraws; signed, sent, and acknowledged.

Nothing is disclosed under a receipt before the recipient's signature over its digest is logged here; a withdrawal
withholds what is queued in its own transaction.

Source: DESIGN flow 3, CONSTRUCTIONS (keys), SCENARIOS section 0 (withdrawal of consent).
"""

import json
from datetime import datetime
from typing import Any

from sqlalchemy import select

from tallystick import wire
from tallystick_consent.entries import Signature, receipt_body
from tallystick_consent.errors import ReceiptRejected
from tallystick_consent.program import Program
from tallystick_consent.receipt import Notice, ReceiptState, Terms, check_transition, parse_terms
from tallystick_consent.rules import name_of, period_named
from tallystick_consent.signed import Acknowledgement, GivenReceipt, Withdrawal, open_object, signed_digest
from tallystick_node.flows.acts import approvals_of, seen
from tallystick_node.flows.claims_state import withhold_claims
from tallystick_node.flows.outgoing import withhold_queued
from tallystick_node.flows.programs import agreed_program, known_program, zone_of
from tallystick_node.flows.receipts import (
    CLOSING_TAIL_S,
    DAY_S,
    change_receipt,
    end_receipt,
    insert_receipt,
    log_receipt,
    require_none_open,
    require_recent,
    shown_once,
    tell_partner,
    terms_of,
    with_subject,
)
from tallystick_node.flows.standings import require_giver, require_holder, require_stopper
from tallystick_node.node import Node, no_such_thing
from tallystick_node.tables import LINKS, RECEIPTS
from tallystick_node.writer import Once, StoredReply, Transaction

AHEAD_MAX_S = 300
"""How far a recipient's clock may be ahead of ours."""


def receive_requested(
    node: Node, caller: str, transaction: Transaction, body: wire.PeerReceiptRequested
) -> wire.PeerAcknowledged:
    """Take a recipient's request, for the subject to answer.

    Raises:
        ReceiptRejected, NotFound: malformed, about no link between us, or asking for other than the program says.
    """
    terms = parse_terms(body.terms)
    link = transaction.row(
        select(LINKS).where(LINKS.c.id == terms.link, LINKS.c.partner == caller, LINKS.c.role == "issuer")
    )
    if link is None or link.state != "active" or terms.recipient != caller or terms.issuer != node.host:
        raise no_such_thing()
    program = agreed_program(transaction, link.program, payer=caller, issuer=node.host)
    _require_within(terms, body.notice, program, now_s=transaction.now_s)
    require_recent(terms)
    if transaction.row(select(RECEIPTS.c.id).where(RECEIPTS.c.id == terms.receipt)) is None:
        require_none_open(transaction, terms.link)
        insert_receipt(transaction, terms, body.notice, partner=caller, role="issuer")
        log_receipt(transaction, receipt_body(terms, ReceiptState.REQUESTED))
    return wire.PeerAcknowledged()


def _require_within(terms: Terms, notice: Notice, program: Program, *, now_s: int) -> None:
    """Refuse a request that asks for anything but what both partners signed."""
    asked = (
        terms.program,
        terms.program_version,
        terms.purposes,
        terms.data_classes,
        terms.rung,
        terms.retention_s,
        terms.reward,
        terms.notice,
        terms.version,
    )
    agreed = (
        program.program,
        program.version,
        (program.purpose,),
        program.data_classes,
        program.rung,
        program.retention_days * DAY_S,
        program.digest(),
        notice.digest(),
        1,
    )
    longest_s = program.consent_days * DAY_S
    lasts_longer = (
        terms.valid_from_s > now_s + AHEAD_MAX_S
        or terms.events_until_s > terms.valid_from_s + longest_s
        or terms.valid_until_s > terms.events_until_s + CLOSING_TAIL_S
    )
    if asked != agreed or notice != program.notice or lasts_longer:
        raise ReceiptRejected(
            "purpose_not_allowed",
            "A request asks for other than the program that both partners signed.",
            remedy="Ask for what the program says, or agree on another version.",
        )


async def give_receipt(node: Node, once: Once, receipt: str, body: wire.GiveReceipt, *, app: str) -> StoredReply:
    """The subject gives consent: sign the receipt and send it for acknowledgement.

    Args:
        app: the name of the key that vouches for who is logged in; it stands in the evidence.

    Raises:
        NotFound: no such request for this subject.
        ReceiptRejected: answered already, too late, by somebody who may not, or a wallet signature that is not over
            these terms.
    """

    def work(transaction: Transaction) -> str:
        row = row_of_subject(transaction, receipt, body.subject)
        check_transition(ReceiptState(row.state), ReceiptState.GIVEN)
        terms = terms_of(row)
        approved = approvals_of(transaction, receipt)
        require_giver(transaction, terms, subject=body.subject, by=body.by, approved_by=frozenset(approved))
        evidence = seen(
            node, transaction, terms, body.told, kind="give", subject=body.subject, app=app, by=body.by
        ).model_copy(update={"approvals": tuple(each for who, each in approved.items() if who != body.by)})
        token = node.signed(GivenReceipt(terms=terms, evidence=evidence, at=transaction.now_s))
        log_receipt(
            transaction,
            receipt_body(terms, ReceiptState.GIVEN, grade=evidence.grade, signed=signed_digest(token)),
        )
        given = {"state": ReceiptState.GIVEN, "evidence": evidence.model_dump_json(), "signed": token}
        change_receipt(transaction, receipt, **given)
        tell_partner(transaction, "receipt.given", row, wire.PeerSigned(token=token))
        return receipt

    return await shown_once(node, once, work)


async def approve_receipt(node: Node, once: Once, receipt: str, body: wire.ApproveReceipt, *, app: str) -> StoredReply:
    """One of several holders says yes; the receipt stays as it is until the last one gives it.

    Raises:
        NotFound: no such request for this subject.
        ReceiptRejected: answered already, or by somebody who is no holder.
    """

    def work(transaction: Transaction) -> str:
        row = row_of_subject(transaction, receipt, body.subject)
        check_transition(ReceiptState(row.state), ReceiptState.GIVEN)
        terms = terms_of(row)
        require_holder(transaction, terms, subject=body.subject, by=body.by)
        if body.by not in approvals_of(transaction, receipt):
            seen(node, transaction, terms, body.told, kind="approve", subject=body.subject, app=app, by=body.by)
        return receipt

    return await shown_once(node, once, work)


async def refuse_receipt(node: Node, once: Once, receipt: str, body: wire.RefuseReceipt) -> StoredReply:
    """The subject says no.

    Raises:
        NotFound, ReceiptRejected: no such request for this subject, or answered already.
    """

    def work(transaction: Transaction) -> str:
        return refuse(transaction, receipt, body)

    return await shown_once(node, once, work)


def refuse(transaction: Transaction, receipt: str, body: wire.RefuseReceipt) -> str:
    """Record the no, log it, and tell the recipient; return the receipt's id.

    Raises:
        NotFound, ReceiptRejected: as `refuse_receipt`.
    """
    row = row_of_subject(transaction, receipt, body.subject)
    require_stopper(transaction, subject=body.subject, by=body.by)
    check_transition(ReceiptState(row.state), ReceiptState.REFUSED)
    log_receipt(transaction, receipt_body(terms_of(row), ReceiptState.REFUSED))
    change_receipt(transaction, receipt, state=ReceiptState.REFUSED, ended_at_s=transaction.now_s)
    tell_partner(transaction, "receipt.refused", row, wire.PeerReceiptRefused(receipt=receipt))
    return receipt


async def withdraw_receipt(node: Node, once: Once, receipt: str, body: wire.WithdrawReceipt) -> StoredReply:
    """The subject stops: from this entry on nothing is issued, and nothing delivered but what the entry lists.

    Raises:
        NotFound, ReceiptRejected: no receipt of this subject that can be withdrawn.
    """

    def work(transaction: Transaction) -> str:
        return withdraw(node, transaction, receipt, body)

    return await shown_once(node, once, work)


def withdraw(node: Node, transaction: Transaction, receipt: str, body: wire.WithdrawReceipt) -> str:
    """Sign and log the withdrawal, withhold what is queued, and tell the recipient; return the receipt's id.

    Raises:
        NotFound, ReceiptRejected: as `withdraw_receipt`.
    """
    row = row_of_subject(transaction, receipt, body.subject)
    require_stopper(transaction, subject=body.subject, by=body.by)
    check_transition(ReceiptState(row.state), ReceiptState.WITHDRAWN)
    terms = terms_of(row)
    token = node.signed(Withdrawal(receipt=receipt, version=terms.version, earned=body.earned, at=transaction.now_s))
    withheld, on_its_way = withhold_queued(transaction, receipt)
    log_receipt(
        transaction,
        receipt_body(terms, ReceiptState.WITHDRAWN, signed=signed_digest(token), deliverable=tuple(on_its_way)),
    )
    withhold_claims(transaction, withheld)
    end_receipt(transaction, row, ReceiptState.WITHDRAWN)
    tell_partner(transaction, "receipt.withdrawn", row, wire.PeerSigned(token=token))
    return receipt


def row_of_subject(transaction: Transaction, receipt: str, subject: str) -> Any:
    """Return the row of a receipt that is this subject's to answer.

    Raises:
        NotFound: there is none of that id, or it is somebody else's.
    """
    mine = with_subject().where(RECEIPTS.c.id == receipt, RECEIPTS.c.role == "issuer", LINKS.c.subject == subject)
    row = transaction.row(mine)
    if row is None:
        raise no_such_thing()
    return row


def acknowledged_given(node: Node, transaction: Transaction, row: Any, token: str) -> None:
    """Log the recipient's signature over a receipt: from this entry on, answers may leave.

    Raises:
        SignatureRejected, BadInput, ReceiptRejected: not the recipient's signature over this receipt.
    """
    at_s = _check_acknowledgement(node, row, token, ReceiptState.GIVEN, str(row.signed))
    if row.acknowledged_at_s is not None or row.state != ReceiptState.GIVEN:
        return
    terms = terms_of(row)
    appended = log_receipt(
        transaction,
        receipt_body(
            terms,
            ReceiptState.GIVEN,
            grade=json.loads(row.evidence)["grade"],
            signed=signed_digest(row.signed),
            acknowledgement=Signature(at=at_s, digest=signed_digest(token)),
        ),
    )
    program = known_program(transaction, terms.recipient, terms.program, terms.program_version)
    zone = zone_of(program)
    begins_on = datetime.fromtimestamp(terms.events_from_s, zone).date()
    first = period_named(name_of(begins_on, program.rule.span), rule=program.rule, zone=zone)
    change_receipt(
        transaction,
        row.id,
        acknowledgement=token,
        acknowledged_at_s=at_s,
        live_leaf=appended.index,
        next_period=first.name,
        next_close_s=first.close_s,
    )


def acknowledged_withdrawn(node: Node, transaction: Transaction, row: Any, sent: str, token: str) -> None:
    """Log the recipient's signature over a withdrawal.

    Raises:
        SignatureRejected, BadInput, ReceiptRejected: not the recipient's signature over this withdrawal.
    """
    at_s = _check_acknowledgement(node, row, token, ReceiptState.WITHDRAWN, sent)
    if row.end_acknowledged_at_s is not None:
        return
    log_receipt(
        transaction,
        receipt_body(
            terms_of(row),
            ReceiptState.WITHDRAWN,
            signed=signed_digest(sent),
            acknowledgement=Signature(at=at_s, digest=signed_digest(token)),
        ),
    )
    change_receipt(transaction, row.id, end_acknowledged_at_s=at_s)


def _check_acknowledgement(node: Node, row: Any, token: str, state: str, signed: str) -> int:
    """Return when a partner says that it signed what we sent.

    Raises:
        ReceiptRejected: it signed something else.
    """
    answer = open_object(token, Acknowledgement, keys=node.partner(row.partner).ed25519("receipt"))
    of = (answer.receipt, answer.version, answer.state, answer.digest)
    if of != (row.id, row.version, state, signed_digest(signed)):
        raise ReceiptRejected(
            "receipt_malformed", "An acknowledgement is of something else.", remedy="Acknowledge what was sent."
        )
    return answer.at
