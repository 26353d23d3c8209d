"""Receipts at the recipient: asked for, and taken as the subject gives, refuses, puts off or renews them at the issuer.

Source: DESIGN flow 3.
"""

from typing import Any

from sqlalchemy import select

from tallystick import wire
from tallystick_consent.entries import Signature, receipt_body
from tallystick_consent.errors import ReceiptRejected
from tallystick_consent.program import Program
from tallystick_consent.receipts.evidence import check_evidence, check_holders
from tallystick_consent.receipts.receipt import VALIDITY_MAX_S, Terms, parse_terms
from tallystick_consent.receipts.states import IN_FORCE, ReceiptState, check_transition
from tallystick_consent.receipts.versions import answers, narrows
from tallystick_consent.signed import GivenReceipt, RenewedReceipt, signed_digest
from tallystick_ledger.times import DAY_S
from tallystick_node.errors import no_such_thing
from tallystick_node.flows.outgoing import queue_message
from tallystick_node.flows.programs import agreed_program, known_program
from tallystick_node.flows.receipts.bounds import (
    CLOSING_TAIL_S,
    require_none_open,
    require_recent,
    require_within_receipts,
)
from tallystick_node.flows.receipts.ending import end_receipt
from tallystick_node.flows.receipts.rows import (
    GUARDIAN,
    NOT_STOPPED,
    change_receipt,
    insert_receipt,
    last_yes,
    row_of_partner,
    terms_of,
)
from tallystick_node.flows.receipts.showing import shown_once
from tallystick_node.flows.receipts.steps import acknowledge, log_receipt
from tallystick_node.flows.receipts.versions import ask_version, put_in_force, require_may_follow
from tallystick_node.log.replies import Once, StoredReply
from tallystick_node.log.transaction import Transaction
from tallystick_node.node import Node
from tallystick_node.storage.tables import LINKS, RECEIPTS


async def request_receipt(node: Node, once: Once, body: wire.RequestReceipt) -> StoredReply:
    """Ask the subject of a link for what its program needs.

    Raises:
        NotFound: no active link of that id at which this node receives, or no agreed program.
        RulesTellTooMuch: beside what the subject was asked for already it would tell more than that (P17).
    """

    def work(transaction: Transaction) -> str:
        link = transaction.row(select(LINKS).where(LINKS.c.id == body.link, LINKS.c.role == "recipient"))
        if link is None or link.state != "active":
            raise no_such_thing()
        transaction.subject = link.subject
        require_none_open(transaction, link.id)
        program = agreed_program(transaction, link.program, payer=node.host, issuer=link.partner)
        require_within_receipts(transaction, program, link=link.id)
        terms = _terms(transaction, program, body, issuer=link.partner)
        require_recent(terms)
        insert_receipt(transaction, terms, program.notice, partner=link.partner, role="recipient")
        log_receipt(transaction, receipt_body(terms, ReceiptState.REQUESTED))
        queue_message(
            transaction,
            "receipt.requested",
            partner=link.partner,
            about=terms.receipt,
            body=wire.PeerReceiptRequested(terms=terms.document(), notice=program.notice),
        )
        return terms.receipt

    return await shown_once(node, once, work, status=201)


async def request_version(node: Node, once: Once, receipt: str, body: wire.RequestVersion) -> StoredReply:
    """Ask the subject for a next version: all that the program of the one in force permits, from now on.

    Which resources it is about stays as the subject picked, unless they are asked for anew.

    Raises:
        NotFound: no receipt of that id at which this node receives.
        ReceiptRejected: it has ended, a next version waits, or there is nothing to change.
    """

    def work(transaction: Transaction) -> str:
        row = transaction.row(select(RECEIPTS).where(RECEIPTS.c.id == receipt, RECEIPTS.c.role == "recipient"))
        if row is None:
            raise no_such_thing()
        before = terms_of(row)
        program = known_program(transaction, before.recipient, before.program, before.program_version)
        # On whose word the receipt stands stays, and a guardian's ends no later than before.
        ends_at_s = before.valid_until_s if before.authority == GUARDIAN else None
        asked = wire.RequestReceipt(
            link=before.link, events_from=before.events_from_s, authority=before.authority, of_age_from=ends_at_s
        )
        now = _terms(transaction, program, asked, issuer=before.issuer).document()
        follows = {"receipt": before.receipt, "version": before.version + 1, "previous": before.digest()}
        about = before.document().get("resources")
        same = {} if body.resources == "any" or about is None else {"resources": about}
        terms = parse_terms({**now, **follows, **same})
        ask_version(transaction, row, terms)
        queue_message(
            transaction,
            "receipt.requested",
            partner=row.partner,
            about=receipt,
            body=wire.PeerReceiptRequested(terms=terms.document(), notice=program.notice),
        )
        return receipt

    return await shown_once(node, once, work, status=201)


def receive_given(node: Node, caller: str, transaction: Transaction, body: wire.PeerSigned) -> wire.PeerAcknowledged:
    """Take a receipt that the subject gave at the issuer: check it, log it, and sign its digest.

    Raises:
        SignatureRejected, BadInput, ReceiptRejected, NotFound: not the issuer's, not what we asked for, or not now.
    """
    given = node.partners.opened(body.token, GivenReceipt, of=caller)
    return _take_given(node, caller, transaction, given, body.token)


def receive_renewed(node: Node, caller: str, transaction: Transaction, body: wire.PeerSigned) -> wire.PeerAcknowledged:
    """Take a receipt that the subject gave again: what was paused goes on.

    Raises:
        SignatureRejected, BadInput, ReceiptRejected, NotFound: not the issuer's, of other terms, or not now.
    """
    given = node.partners.opened(body.token, RenewedReceipt, of=caller)
    return _take_given(node, caller, transaction, given, body.token)


def _take_given(
    node: Node,
    caller: str,
    transaction: Transaction,
    given: GivenReceipt | RenewedReceipt,
    signed: str,
) -> wire.PeerAcknowledged:
    state = ReceiptState.GIVEN if isinstance(given, GivenReceipt) else ReceiptState.RENEWED
    terms, evidence = given.terms, given.evidence
    row = row_of_partner(transaction, terms.receipt, partner=caller, role="recipient")
    if state is ReceiptState.RENEWED and terms.version != row.version:
        require_may_follow(transaction, row, terms)
    elif (state is ReceiptState.RENEWED and terms_of(row) != terms) or not answers(asked=terms_of(row), given=terms):
        raise ReceiptRejected(
            "receipt_malformed", "A receipt has other terms than were asked for.", remedy="Ask for it anew."
        )
    if isinstance(given, RenewedReceipt) and given.renews != last_yes(row):
        raise ReceiptRejected(
            "receipt_malformed", "A renewal does not follow the receipt that is here.", remedy="Send what came before."
        )
    check_transition(ReceiptState(row.state), state)
    if not _takes_back(row, terms):
        check_holders(evidence, terms)
    check_evidence(evidence, terms, renews=given.renews if isinstance(given, RenewedReceipt) else "")
    if terms != terms_of(row):
        row = put_in_force(transaction, row, terms)
    token = acknowledge(node, transaction, row, state, signed)
    appended = log_receipt(
        transaction,
        receipt_body(
            terms,
            state,
            grade=evidence.grade,
            signed=signed_digest(signed),
            acknowledgement=Signature(at=transaction.now_s, digest=signed_digest(token)),
        ),
    )
    change_receipt(
        transaction,
        terms.receipt,
        state=state,
        evidence=evidence.model_dump_json(),
        signed=signed,
        **NOT_STOPPED,
        acknowledgement=token,
        acknowledged_at_s=row.acknowledged_at_s or transaction.now_s,
        live_leaf=appended.index,
    )
    return wire.PeerAcknowledged(token=token)


def _takes_back(row: Any, terms: Terms) -> bool:
    """Return whether a version only permits less than the one in force, which any one of several holders may do."""
    is_next = terms.version != row.version and ReceiptState(row.state) in IN_FORCE
    return is_next and narrows(terms_of(row), terms)


def receive_refused(
    _node: Node, caller: str, transaction: Transaction, body: wire.PeerReceiptRefused
) -> wire.PeerAcknowledged:
    """Take the word that the subject said no.

    Raises:
        NotFound, ReceiptRejected: no such request, or answered already.
    """
    row = row_of_partner(transaction, body.receipt, partner=caller, role="recipient")
    check_transition(ReceiptState(row.state), ReceiptState.REFUSED)
    log_receipt(transaction, receipt_body(terms_of(row), ReceiptState.REFUSED))
    end_receipt(transaction, row, ReceiptState.REFUSED)
    return wire.PeerAcknowledged()


def receive_deferred(
    _node: Node, caller: str, transaction: Transaction, body: wire.PeerReceiptDeferred
) -> wire.PeerAcknowledged:
    """Take the word that the subject puts off the answer.

    Raises:
        NotFound, ReceiptRejected: no such request, or answered already.
    """
    row = row_of_partner(transaction, body.receipt, partner=caller, role="recipient")
    check_transition(ReceiptState(row.state), ReceiptState.DEFERRED)
    log_receipt(transaction, receipt_body(terms_of(row), ReceiptState.DEFERRED))
    change_receipt(transaction, body.receipt, state=ReceiptState.DEFERRED)
    return wire.PeerAcknowledged()


def _terms(transaction: Transaction, program: Program, asked: wire.RequestReceipt, *, issuer: str) -> Terms:
    now_s = transaction.now_s
    start_s = now_s if asked.events_from is None else asked.events_from
    until_s = now_s + program.consent_days * DAY_S
    # A guardian's receipt ends whole at majority: what is processed later needs the subject's own (SCENARIOS 1.15).
    ends_at_s = until_s + CLOSING_TAIL_S if asked.of_age_from is None else asked.of_age_from
    on_authority = {} if asked.authority is None else {"authority": asked.authority.model_dump(mode="json")}
    return parse_terms(
        {
            "receipt": transaction.new_id("rcp"),
            "version": 1,
            "issuer": issuer,
            "recipient": program.payer,
            "link": asked.link,
            "program": program.program,
            "program_version": program.version,
            "purposes": [program.purpose],
            "data_classes": list(program.data_classes),
            "rung": program.rung,
            "events_from_s": start_s,
            "events_until_s": min(until_s, ends_at_s),
            "valid_from_s": now_s,
            "valid_until_s": min(until_s + CLOSING_TAIL_S, now_s + VALIDITY_MAX_S, ends_at_s),
            "retention_s": program.retention_days * DAY_S,
            "reward": program.digest(),
            "notice": program.notice.digest(),
            "limits": program.limits.model_dump(mode="json"),
            "retention": [each.model_dump(mode="json") for each in program.retention],
            **on_authority,
        }
    )
