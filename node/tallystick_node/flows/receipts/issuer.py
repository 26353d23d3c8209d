"""Receipts at the issuer: shown to the subject, who gives, refuses, puts off or renews; signed, sent, and acknowledged.

Nothing is disclosed under a receipt before the recipient's signature over its digest is logged here, and again after
each renewal. How it is stopped is in `receipts_stopping`.

Source: DESIGN flow 3, CONSTRUCTIONS (keys).
"""

from datetime import datetime
from typing import Any

from sqlalchemy import select

from tallystick import wire
from tallystick_consent.entries import receipt_body
from tallystick_consent.errors import ReceiptRejected
from tallystick_consent.program import Program
from tallystick_consent.receipts.evidence import Evidence, check_evidence
from tallystick_consent.receipts.receipt import (
    Notice,
    ReceiptState,
    Terms,
    check_transition,
    parse_terms,
)
from tallystick_consent.receipts.versions import check_follows, narrowed
from tallystick_consent.rules import name_of, period_named
from tallystick_consent.signed import GivenReceipt, RenewedReceipt, signed_digest
from tallystick_node.flows.claims.narrowing import take_back_claims
from tallystick_node.flows.claims.wallet import bind_wallet_key
from tallystick_node.flows.outgoing import on_its_way
from tallystick_node.flows.people.acts import approvals_of, seen
from tallystick_node.flows.people.standings import require_giver, require_holder, require_stopper
from tallystick_node.flows.programs import agreed_program, known_program, zone_of
from tallystick_node.flows.receipts.rows import (
    CLOSING_TAIL_S,
    DAY_S,
    acknowledged,
    change_receipt,
    insert_receipt,
    log_receipt,
    require_none_open,
    require_recent,
    require_within_receipts,
    row_of_partner,
    row_of_subject,
    shown_once,
    stopped,
    tell_partner,
    terms_of,
)
from tallystick_node.flows.receipts.versions import answer_version, ask_version, asked_version, put_in_force
from tallystick_node.log.replies import Once, StoredReply
from tallystick_node.log.transaction import Transaction
from tallystick_node.node import Node, no_such_thing
from tallystick_node.storage.tables import LINKS, RECEIPTS

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
        ReceiptRejected: answered already, too late, or a wallet signature that is not over these terms.
        RulesTellTooMuch: beside the subject's other receipts it would tell that company more than they permit (P17).
    """

    def work(transaction: Transaction) -> str:
        row = row_of_subject(transaction, receipt, body.subject)
        check_transition(ReceiptState(row.state), ReceiptState.GIVEN)
        terms = terms_of(row)
        approved = approvals_of(transaction, receipt)
        require_giver(transaction, terms, subject=body.subject, by=body.by, approved_by=frozenset(approved))
        asked = known_program(transaction, terms.recipient, terms.program, terms.program_version)
        require_within_receipts(transaction, asked, link=row.link)
        evidence = seen(
            node, transaction, terms, body.told, kind="give", subject=body.subject, app=app, by=body.by
        ).model_copy(update={"approvals": tuple(each for who, each in approved.items() if who != body.by)})
        _give(node, transaction, row, ReceiptState.GIVEN, evidence)
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


async def give_version(node: Node, once: Once, receipt: str, body: wire.GiveReceipt, *, app: str) -> StoredReply:
    """The subject gives the next version that the recipient asked for.

    Args:
        app: the name of the key that vouches for who is logged in; it stands in the evidence.

    Raises:
        NotFound: none is asked for, of this subject.
        ReceiptRejected: it cannot be given now, or a wallet signature is not over these terms.
    """

    def work(transaction: Transaction) -> str:
        row, terms = _asked(transaction, receipt, body.subject)
        # What joint holders approved was the version before: each must say yes anew, so one word alone is refused.
        require_giver(transaction, terms, subject=body.subject, by=body.by, approved_by=frozenset())
        evidence = seen(node, transaction, terms, body.told, kind="give", subject=body.subject, app=app, by=body.by)
        _give(node, transaction, row, ReceiptState.RENEWED, evidence, terms)
        return receipt

    return await shown_once(node, once, work)


async def refuse_version(node: Node, once: Once, receipt: str, body: wire.RefuseReceipt) -> StoredReply:
    """The subject says no to the next version; the one in force stays.

    Raises:
        NotFound: none is asked for, of this subject.
    """

    def work(transaction: Transaction) -> str:
        row, terms = _asked(transaction, receipt, body.subject)
        answer_version(transaction, terms, ReceiptState.REFUSED)
        told = wire.PeerVersionRefused(receipt=receipt, version=terms.version)
        tell_partner(transaction, "receipt.version_refused", row, told)
        return receipt

    return await shown_once(node, once, work)


async def narrow_receipt(node: Node, once: Once, receipt: str, body: wire.NarrowReceipt, *, app: str) -> StoredReply:
    """The subject takes something back: a next version that permits less, at once, whoever asked for what.

    Args:
        app: the name of the key that vouches for who is logged in; it stands in the evidence.

    Raises:
        NotFound: no such receipt of this subject.
        ReceiptRejected: it is not in force or paused, nothing less would be permitted, or nothing would be left.
    """

    def work(transaction: Transaction) -> str:
        row = row_of_subject(transaction, receipt, body.subject)
        check_transition(ReceiptState(row.state), ReceiptState.RENEWED)
        terms = narrowed(
            terms_of(row),
            without_classes=frozenset(body.without_classes),
            rung=body.rung,
            events_until_s=body.events_until,
        )
        _give(node, transaction, row, ReceiptState.RENEWED, body.evidence.model_copy(update={"app": app}), terms)
        return receipt

    return await shown_once(node, once, work)


def _asked(transaction: Transaction, receipt: str, subject: str) -> tuple[Any, Terms]:
    row = row_of_subject(transaction, receipt, subject)
    terms = asked_version(transaction, receipt)
    if terms is None:
        raise no_such_thing()
    check_transition(ReceiptState(row.state), ReceiptState.RENEWED)
    check_follows(terms_of(row), terms)
    return row, terms


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


async def defer_receipt(node: Node, once: Once, receipt: str, body: wire.DeferReceipt) -> StoredReply:
    """The subject puts off the answer; the request goes on waiting, and is not made again.

    Raises:
        NotFound, ReceiptRejected: no such request for this subject, or answered already.
    """

    def work(transaction: Transaction) -> str:
        row = row_of_subject(transaction, receipt, body.subject)
        check_transition(ReceiptState(row.state), ReceiptState.DEFERRED)
        log_receipt(transaction, receipt_body(terms_of(row), ReceiptState.DEFERRED))
        change_receipt(transaction, receipt, state=ReceiptState.DEFERRED)
        tell_partner(transaction, "receipt.deferred", row, wire.PeerReceiptDeferred(receipt=receipt))
        return receipt

    return await shown_once(node, once, work)


async def renew_receipt(node: Node, once: Once, receipt: str, body: wire.RenewReceipt, *, app: str) -> StoredReply:
    """The subject says yes again: what was paused goes on once the recipient has signed for it.

    Args:
        app: the name of the key that vouches for who is logged in; it stands in the evidence.

    Raises:
        NotFound: no such receipt of this subject.
        ReceiptRejected: it cannot be renewed, or a wallet signature is not over these terms.
    """

    def work(transaction: Transaction) -> str:
        row = row_of_subject(transaction, receipt, body.subject)
        check_transition(ReceiptState(row.state), ReceiptState.RENEWED)
        _give(node, transaction, row, ReceiptState.RENEWED, body.evidence.model_copy(update={"app": app}))
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


def _give(
    node: Node,
    transaction: Transaction,
    row: Any,
    state: ReceiptState,
    evidence: Evidence,
    next_version: Terms | None = None,
) -> None:
    """Sign a receipt that the subject gives, or gives again, and send it: nothing leaves before it is acknowledged."""
    terms = next_version or terms_of(row)
    check_evidence(evidence, terms)
    bind_wallet_key(transaction, evidence, link=row.link)
    listed, days = tuple(on_its_way(transaction, row.id)), terms.limits.reconfirm_days
    if next_version is not None:
        take_back_claims(node, transaction, row, terms)
        put_in_force(transaction, row, terms)
    at_s = transaction.now_s
    if state is ReceiptState.GIVEN:
        token = node.signed(GivenReceipt(terms=terms, evidence=evidence, at=at_s))
    else:
        renews = signed_digest(row.signed)
        token = node.signed(RenewedReceipt(terms=terms, evidence=evidence, renews=renews, at=at_s))
    log_receipt(
        transaction,
        receipt_body(terms, state, grade=evidence.grade, signed=signed_digest(token), deliverable=listed),
    )
    change_receipt(
        transaction,
        row.id,
        state=state,
        **stopped(row),
        evidence=evidence.model_dump_json(),
        signed=token,
        unacknowledged_since_s=transaction.now_s,
        confirm_by_s=None if days is None else transaction.now_s + days * DAY_S,
    )
    tell_partner(transaction, f"receipt.{state}", row, wire.PeerSigned(token=token))


def _period_of(transaction: Transaction, terms: Terms, at_s: int) -> dict[str, object]:
    """Return the period of a receipt's program that a time lies in, the first to be evaluated, and when it closes."""
    program = known_program(transaction, terms.recipient, terms.program, terms.program_version)
    zone = zone_of(program)
    begins_on = datetime.fromtimestamp(at_s, zone).date()
    first = period_named(name_of(begins_on, program.rule.span), rule=program.rule, zone=zone)
    return {"next_period": first.name, "next_close_s": program.closed_for_all_s(first.name, zone=zone)}
