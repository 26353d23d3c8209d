"""Receipts at the issuer: taken as the recipient asks, refused or put off by the subject, and acknowledged once given.

Nothing is disclosed under a receipt before the recipient's signature over its digest is logged here, and again after
each renewal. How it is given is in `giving`, how it is stopped in `stopping`.

Source: DESIGN flow 3, CONSTRUCTIONS (keys).
"""

from datetime import datetime
from typing import Any

from sqlalchemy import select

from tallystick import wire
from tallystick_consent.entries import receipt_body
from tallystick_consent.errors import ReceiptRejected
from tallystick_consent.program import Program
from tallystick_consent.receipts.receipt import Notice, Terms, parse_terms
from tallystick_consent.receipts.states import ReceiptState, check_transition
from tallystick_consent.rules import name_of, period_named
from tallystick_ledger.times import CLOCKS_DIFFER_MAX_S, DAY_S
from tallystick_node.errors import no_such_thing
from tallystick_node.flows.people.acts import forget_approvals, keep_no
from tallystick_node.flows.people.standings import require_stopper
from tallystick_node.flows.programs import agreed_program, known_program, zone_of
from tallystick_node.flows.receipts.bounds import CLOSING_TAIL_S, REQUEST_LIFE_S, require_none_open, require_recent
from tallystick_node.flows.receipts.ending import end_receipt
from tallystick_node.flows.receipts.rows import change_receipt, insert_receipt, row_of_partner, row_of_subject, terms_of
from tallystick_node.flows.receipts.showing import shown_once
from tallystick_node.flows.receipts.steps import acknowledged, log_receipt, tell_partner
from tallystick_node.flows.receipts.versions import answer_version, ask_version, asked_version
from tallystick_node.log.replies import Once, StoredReply
from tallystick_node.log.transaction import Transaction
from tallystick_node.node import Node
from tallystick_node.storage.tables import LINKS, RECEIPTS


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
    if terms.version > 1:
        _receive_version(transaction, caller, terms, body.notice)
        return wire.PeerAcknowledged()
    program = agreed_program(transaction, link.program, payer=caller, issuer=node.host)
    _require_within(terms, body.notice, program, version=1, now_s=transaction.now_s)
    require_recent(terms)
    if transaction.row(select(RECEIPTS.c.id).where(RECEIPTS.c.id == terms.receipt)) is None:
        require_none_open(transaction, terms.link)
        insert_receipt(transaction, terms, body.notice, partner=caller, role="issuer")
        log_receipt(transaction, receipt_body(terms, ReceiptState.REQUESTED))
    return wire.PeerAcknowledged()


def _receive_version(transaction: Transaction, caller: str, terms: Terms, notice: Notice) -> None:
    """Keep the recipient's request for a next version: as the program of the one in force permits, its events begin
    where they began."""
    row = row_of_partner(transaction, terms.receipt, partner=caller, role="issuer")
    if asked_version(transaction, row.id) == terms:
        return
    before = terms_of(row)
    program = known_program(transaction, before.recipient, before.program, before.program_version)
    _require_within(terms, notice, program, version=row.version + 1, now_s=transaction.now_s)
    if terms.events_from_s < before.events_from_s:
        raise ReceiptRejected(
            "period_not_covered", "A next version reaches further back.", remedy="Ask from the same time on."
        )
    ask_version(transaction, row, terms)


def _require_within(terms: Terms, notice: Notice, program: Program, *, version: int, now_s: int) -> None:
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
        terms.limits,
        terms.retention,
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
        version,
        program.limits,
        program.retention,
    )
    longest_s = program.consent_days * DAY_S
    is_out_of_reach = (
        terms.valid_from_s > now_s + CLOCKS_DIFFER_MAX_S
        or terms.valid_from_s < now_s - REQUEST_LIFE_S
        or terms.events_until_s > terms.valid_from_s + longest_s
        or terms.valid_until_s > terms.events_until_s + CLOSING_TAIL_S
    )
    if asked != agreed or notice != program.notice or is_out_of_reach:
        raise ReceiptRejected(
            "purpose_not_allowed",
            "A request asks for other than the program that both partners signed.",
            remedy="Ask for what the program says, or agree on another version.",
        )


async def refuse_version(node: Node, once: Once, receipt: str, body: wire.RefuseReceipt, *, app: str) -> StoredReply:
    """The subject says no to the next version; the one in force stays, and no approval of the other counts any more.

    Raises:
        NotFound: none is asked for, of this subject.
        ReceiptRejected: by somebody who may not.
    """

    def work(transaction: Transaction) -> str:
        row = row_of_subject(transaction, receipt, body.subject)
        terms = asked_version(transaction, receipt)
        if terms is None:
            raise no_such_thing()
        require_stopper(transaction, subject=body.subject, by=body.by)
        keep_no(node, transaction, "refuse", subject=body.subject, receipt=receipt, by=body.by, app=app)
        forget_approvals(transaction, receipt)
        answer_version(transaction, terms, ReceiptState.REFUSED)
        told = wire.PeerVersionRefused(receipt=receipt, version=terms.version)
        tell_partner(transaction, "receipt.version_refused", row, told)
        return receipt

    return await shown_once(node, once, work)


async def refuse_receipt(node: Node, once: Once, receipt: str, body: wire.RefuseReceipt, *, app: str) -> StoredReply:
    """The subject says no.

    Raises:
        NotFound, ReceiptRejected: no such request for this subject, answered already, or by somebody who may not.
    """

    def work(transaction: Transaction) -> str:
        refused = refuse(transaction, receipt, body)
        keep_no(node, transaction, "refuse", subject=body.subject, receipt=receipt, by=body.by, app=app)
        return refused

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
    end_receipt(transaction, row, ReceiptState.REFUSED)
    tell_partner(transaction, "receipt.refused", row, wire.PeerReceiptRefused(receipt=receipt))
    return receipt


async def defer_receipt(node: Node, once: Once, receipt: str, body: wire.DeferReceipt, *, app: str) -> StoredReply:
    """The subject puts off the answer; the request goes on waiting, and is not made again.

    Raises:
        NotFound, ReceiptRejected: no such request for this subject, answered already, or by somebody who may not.
    """

    def work(transaction: Transaction) -> str:
        row = row_of_subject(transaction, receipt, body.subject)
        require_stopper(transaction, subject=body.subject, by=body.by)
        keep_no(node, transaction, "defer", subject=body.subject, receipt=receipt, by=body.by, app=app)
        check_transition(ReceiptState(row.state), ReceiptState.DEFERRED)
        log_receipt(transaction, receipt_body(terms_of(row), ReceiptState.DEFERRED))
        change_receipt(transaction, receipt, state=ReceiptState.DEFERRED)
        tell_partner(transaction, "receipt.deferred", row, wire.PeerReceiptDeferred(receipt=receipt))
        return receipt

    return await shown_once(node, once, work)


def acknowledged_given(node: Node, transaction: Transaction, row: Any, *, state: str, sent: str, token: str) -> None:
    """Log the recipient's signature over a receipt that was given or renewed: from this entry on, answers may leave.

    Raises:
        SignatureRejected, BadInput, ReceiptRejected: not the recipient's signature over this receipt.
    """
    appended = acknowledged(node, transaction, row, state=state, sent=sent, token=token)
    if appended is None:
        return
    live: dict[str, object] = {"acknowledgement": token, "live_leaf": appended.index}
    terms = terms_of(row)
    if row.acknowledged_at_s is None:
        live["acknowledged_at_s"] = appended.entry.body["acknowledgement"]["at"]
        live |= _period_of(transaction, terms, terms.events_from_s)
    elif row.next_period is None and transaction.now_s < terms.events_until_s:
        live |= _period_of(transaction, terms, transaction.now_s)  # all periods of the version before were over
    change_receipt(transaction, row.id, **live)


def _period_of(transaction: Transaction, terms: Terms, at_s: int) -> dict[str, object]:
    """Return the period of a receipt's program that a time lies in, the first to be evaluated, and when it closes."""
    program = known_program(transaction, terms.recipient, terms.program, terms.program_version)
    zone = zone_of(program)
    begins_on = datetime.fromtimestamp(at_s, zone).date()
    first = period_named(name_of(begins_on, program.rule.span), rule=program.rule, zone=zone)
    return {"next_period": first.name, "next_close_s": program.closed_for_all_s(first.name, zone=zone)}
