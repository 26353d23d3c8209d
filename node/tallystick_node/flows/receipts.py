"""Receipts: requested by the recipient, given or refused by the subject at the issuer, signed by both, ended.

Every transition is an entry on both ledgers. Nothing is disclosed under a receipt before the recipient's signature over
its digest is logged here; a withdrawal withholds what is queued in its own transaction.

Source: DESIGN flow 3, CONSTRUCTIONS (keys), SCENARIOS section 0 (withdrawal of consent).
"""

import json
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import insert, select, update

from tallystick import wire
from tallystick_consent.entries import Signature, receipt_body
from tallystick_consent.errors import ReceiptRejected
from tallystick_consent.program import Program
from tallystick_consent.receipt import (
    Notice,
    Receipt,
    ReceiptState,
    Terms,
    check_evidence,
    check_transition,
    parse_terms,
)
from tallystick_consent.rules import month_of, period_named
from tallystick_consent.signed import Acknowledgement, GivenReceipt, Withdrawal, open_object, signed_digest
from tallystick_ledger.encoding import canonical_json
from tallystick_node.errors import Refused
from tallystick_node.flows.claims_state import drop_claims_of, withhold_claims
from tallystick_node.flows.links import end_link
from tallystick_node.flows.outgoing import queue_message, withhold_queued
from tallystick_node.flows.programs import agreed_program, known_program, zone_of
from tallystick_node.node import Node, no_such_thing
from tallystick_node.tables import DECISIONS, LINKS, RECEIPTS
from tallystick_node.writer import Once, StoredReply, Transaction

DAY_S = 86_400
CLOSING_TAIL_S = 62 * DAY_S
"""How long a receipt outlives the events it covers, so that their last period can close and be answered."""

AHEAD_MAX_S = 300
"""How far a recipient's clock may be ahead of ours."""

LOOKBACK_MAX_S = 366 * DAY_S
"""How far before its request a receipt may reach: far enough for a year, near enough for every calendar."""

REQUEST_LIFE_S = 30 * DAY_S
"""How long a subject may take to answer a request."""


# At the recipient


async def request_receipt(node: Node, once: Once, body: wire.RequestReceipt) -> StoredReply:
    """Ask the subject of a link for what its program needs.

    Raises:
        NotFound: no active link of that id at which this node receives, or no agreed program.
    """

    def work(transaction: Transaction) -> str:
        link = transaction.row(select(LINKS).where(LINKS.c.id == body.link, LINKS.c.role == "recipient"))
        if link is None or link.state != "active":
            raise no_such_thing()
        _require_none_open(transaction, link.id)
        program = agreed_program(transaction, link.program, payer=node.host, issuer=link.partner)
        terms = _terms(transaction, program, link=link.id, issuer=link.partner, events_from_s=body.events_from)
        _require_recent(terms)
        _insert(transaction, terms, program.notice, partner=link.partner, role="recipient")
        transaction.append("receipt", receipt_body(terms, ReceiptState.REQUESTED).document())
        queue_message(
            transaction,
            "receipt.requested",
            partner=link.partner,
            about=terms.receipt,
            body=wire.PeerReceiptRequested(terms=terms.document(), notice=program.notice),
        )
        return terms.receipt

    return await _once(node, once, work, status=201)


def _require_none_open(transaction: Transaction, link: str) -> None:
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


def _require_recent(terms: Terms) -> None:
    """Refuse a request that reaches further back than anybody will evaluate."""
    if terms.events_from_s < terms.valid_from_s - LOOKBACK_MAX_S:
        raise ReceiptRejected(
            "period_not_covered", "A request reaches more than a year back.", remedy="Ask from a later time on."
        )


def _terms(transaction: Transaction, program: Program, *, link: str, issuer: str, events_from_s: int | None) -> Terms:
    now_s = transaction.now_s
    start_s = now_s if events_from_s is None else events_from_s
    until_s = now_s + program.consent_days * DAY_S
    return parse_terms(
        {
            "receipt": transaction.new_id("rcp"),
            "version": 1,
            "issuer": issuer,
            "recipient": program.payer,
            "link": link,
            "program": program.program,
            "program_version": program.version,
            "purposes": [program.purpose],
            "data_classes": list(program.data_classes),
            "rung": program.rung,
            "events_from_s": start_s,
            "events_until_s": until_s,
            "valid_from_s": now_s,
            "valid_until_s": until_s + CLOSING_TAIL_S,
            "retention_s": program.retention_days * DAY_S,
            "reward": program.digest(),
            "notice": program.notice.digest(),
        }
    )


def receive_given(node: Node, caller: str, transaction: Transaction, body: wire.PeerSigned) -> wire.PeerAcknowledged:
    """Take a receipt that the subject gave at the issuer: check it, log it, and sign its digest.

    Raises:
        SignatureRejected, BadInput, ReceiptRejected, NotFound: not the issuer's, not what we asked for, or not now.
    """
    given = open_object(body.token, GivenReceipt, keys=node.partner(caller).ed25519("receipt"))
    terms, evidence = given.terms, given.evidence
    row = _row(transaction, terms.receipt, partner=caller, role="recipient")
    if _terms_of(row) != terms:
        raise ReceiptRejected(
            "receipt_malformed", "A receipt has other terms than were asked for.", remedy="Ask for it anew."
        )
    check_transition(ReceiptState(row.state), ReceiptState.GIVEN)
    check_evidence(evidence, terms)
    token = _acknowledge(node, transaction, terms, "given", body.token)
    appended = transaction.append(
        "receipt",
        receipt_body(
            terms,
            ReceiptState.GIVEN,
            grade=evidence.grade,
            signed=signed_digest(body.token),
            acknowledgement=Signature(at=transaction.now_s, digest=signed_digest(token)),
        ).document(),
    )
    _change(
        transaction,
        terms.receipt,
        state=ReceiptState.GIVEN,
        evidence=evidence.model_dump_json(),
        signed=body.token,
        acknowledgement=token,
        acknowledged_at_s=transaction.now_s,
        live_leaf=appended.index,
    )
    return wire.PeerAcknowledged(token=token)


def receive_refused(
    _node: Node, caller: str, transaction: Transaction, body: wire.PeerReceiptRefused
) -> wire.PeerAcknowledged:
    """Take the word that the subject said no.

    Raises:
        NotFound, ReceiptRejected: no such request, or answered already.
    """
    row = _row(transaction, body.receipt, partner=caller, role="recipient")
    check_transition(ReceiptState(row.state), ReceiptState.REFUSED)
    transaction.append("receipt", receipt_body(_terms_of(row), ReceiptState.REFUSED).document())
    _change(transaction, body.receipt, state=ReceiptState.REFUSED, ended_at_s=transaction.now_s)
    return wire.PeerAcknowledged()


def receive_withdrawn(
    node: Node, caller: str, transaction: Transaction, body: wire.PeerSigned
) -> wire.PeerAcknowledged:
    """Take a withdrawal: log it, drop the claims' bodies, keep the accounting, and sign its digest.

    Raises:
        SignatureRejected, BadInput, ReceiptRejected, NotFound: not the issuer's, or no receipt that can be withdrawn.
    """
    withdrawn = open_object(body.token, Withdrawal, keys=node.partner(caller).ed25519("receipt"))
    row = _row(transaction, withdrawn.receipt, partner=caller, role="recipient")
    check_transition(ReceiptState(row.state), ReceiptState.WITHDRAWN)
    terms = _terms_of(row)
    token = _acknowledge(node, transaction, terms, "withdrawn", body.token)
    transaction.append(
        "receipt",
        receipt_body(
            terms,
            ReceiptState.WITHDRAWN,
            signed=signed_digest(body.token),
            acknowledgement=Signature(at=transaction.now_s, digest=signed_digest(token)),
        ).document(),
    )
    _end(transaction, row, ReceiptState.WITHDRAWN, end_acknowledged_at_s=transaction.now_s)
    return wire.PeerAcknowledged(token=token)


# At the issuer


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
    _require_recent(terms)
    if transaction.row(select(RECEIPTS.c.id).where(RECEIPTS.c.id == terms.receipt)) is None:
        _require_none_open(transaction, terms.link)
        _insert(transaction, terms, body.notice, partner=caller, role="issuer")
        transaction.append("receipt", receipt_body(terms, ReceiptState.REQUESTED).document())
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
        ReceiptRejected: answered already, too late, or a wallet signature that is not over these terms.
    """

    def work(transaction: Transaction) -> str:
        row = _row_of_subject(transaction, receipt, body.subject)
        check_transition(ReceiptState(row.state), ReceiptState.GIVEN)
        terms = _terms_of(row)
        evidence = body.evidence.model_copy(update={"app": app})
        check_evidence(evidence, terms)
        token = node.signed(GivenReceipt(terms=terms, evidence=evidence, at=transaction.now_s))
        transaction.append(
            "receipt",
            receipt_body(terms, ReceiptState.GIVEN, grade=evidence.grade, signed=signed_digest(token)).document(),
        )
        given = {"state": ReceiptState.GIVEN, "evidence": evidence.model_dump_json(), "signed": token}
        _change(transaction, receipt, **given)
        _tell(transaction, "receipt.given", row, wire.PeerSigned(token=token))
        return receipt

    return await _once(node, once, work)


async def refuse_receipt(node: Node, once: Once, receipt: str, body: wire.RefuseReceipt) -> StoredReply:
    """The subject says no.

    Raises:
        NotFound, ReceiptRejected: no such request for this subject, or answered already.
    """

    def work(transaction: Transaction) -> str:
        row = _row_of_subject(transaction, receipt, body.subject)
        check_transition(ReceiptState(row.state), ReceiptState.REFUSED)
        transaction.append("receipt", receipt_body(_terms_of(row), ReceiptState.REFUSED).document())
        _change(transaction, receipt, state=ReceiptState.REFUSED, ended_at_s=transaction.now_s)
        _tell(transaction, "receipt.refused", row, wire.PeerReceiptRefused(receipt=receipt))
        return receipt

    return await _once(node, once, work)


async def withdraw_receipt(node: Node, once: Once, receipt: str, body: wire.WithdrawReceipt) -> StoredReply:
    """The subject stops: from this entry on nothing is issued, and nothing delivered but what the entry lists.

    Raises:
        NotFound, ReceiptRejected: no receipt of this subject that can be withdrawn.
    """

    def work(transaction: Transaction) -> str:
        row = _row_of_subject(transaction, receipt, body.subject)
        check_transition(ReceiptState(row.state), ReceiptState.WITHDRAWN)
        terms = _terms_of(row)
        token = node.signed(
            Withdrawal(receipt=receipt, version=terms.version, earned=body.earned, at=transaction.now_s)
        )
        withheld, on_its_way = withhold_queued(transaction, receipt)
        transaction.append(
            "receipt",
            receipt_body(
                terms, ReceiptState.WITHDRAWN, signed=signed_digest(token), deliverable=tuple(on_its_way)
            ).document(),
        )
        withhold_claims(transaction, withheld)
        _end(transaction, row, ReceiptState.WITHDRAWN)
        _tell(transaction, "receipt.withdrawn", row, wire.PeerSigned(token=token))
        return receipt

    return await _once(node, once, work)


def acknowledged_given(node: Node, transaction: Transaction, row: Any, token: str) -> None:
    """Log the recipient's signature over a receipt: from this entry on, answers may leave.

    Raises:
        SignatureRejected, BadInput, ReceiptRejected: not the recipient's signature over this receipt.
    """
    at_s = _check_acknowledgement(node, row, token, ReceiptState.GIVEN, str(row.signed))
    if row.acknowledged_at_s is not None or row.state != ReceiptState.GIVEN:
        return
    terms = _terms_of(row)
    appended = transaction.append(
        "receipt",
        receipt_body(
            terms,
            ReceiptState.GIVEN,
            grade=json.loads(row.evidence)["grade"],
            signed=signed_digest(row.signed),
            acknowledgement=Signature(at=at_s, digest=signed_digest(token)),
        ).document(),
    )
    program = known_program(transaction, terms.recipient, terms.program, terms.program_version)
    zone = zone_of(program)
    first = period_named(month_of(datetime.fromtimestamp(terms.events_from_s, zone)), rule=program.rule, zone=zone)
    _change(
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
    transaction.append(
        "receipt",
        receipt_body(
            _terms_of(row),
            ReceiptState.WITHDRAWN,
            signed=signed_digest(sent),
            acknowledgement=Signature(at=at_s, digest=signed_digest(token)),
        ).document(),
    )
    _change(transaction, row.id, end_acknowledged_at_s=at_s)


# At both ends


def expire_receipts(transaction: Transaction, *, rows_max: int) -> int:
    """End what has run out: receipts past their validity, and requests that nobody answered. Return how many."""
    now_s = transaction.now_s
    lapsed = (RECEIPTS.c.state == ReceiptState.GIVEN) & (RECEIPTS.c.valid_until_s <= now_s)
    unanswered = (RECEIPTS.c.state == ReceiptState.REQUESTED) & (RECEIPTS.c.requested_at_s + REQUEST_LIFE_S <= now_s)
    rows = transaction.execute(select(RECEIPTS).where(lapsed | unanswered).limit(rows_max)).all()
    for row in rows:
        withheld, on_its_way = withhold_queued(transaction, row.id)
        body = receipt_body(_terms_of(row), ReceiptState.EXPIRED, deliverable=tuple(on_its_way))
        transaction.append("receipt", body.document())
        withhold_claims(transaction, withheld)
        _end(transaction, row, ReceiptState.EXPIRED)
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


def receipt_of(row: Any) -> Receipt:
    """Return a row as `decide` takes it."""
    return Receipt(_terms_of(row), ReceiptState(row.state), acknowledged=row.live_leaf is not None)


def _terms_of(row: Any) -> Terms:
    return parse_terms(json.loads(row.terms))


def _row(transaction: Transaction, receipt: object, *, partner: str, role: str) -> Any:
    row = transaction.row(
        select(RECEIPTS).where(RECEIPTS.c.id == receipt, RECEIPTS.c.partner == partner, RECEIPTS.c.role == role)
    )
    if row is None:
        raise no_such_thing()
    return row


def _row_of_subject(transaction: Transaction, receipt: str, subject: str) -> Any:
    row = transaction.row(
        select(RECEIPTS)
        .join(LINKS, LINKS.c.id == RECEIPTS.c.link)
        .where(RECEIPTS.c.id == receipt, RECEIPTS.c.role == "issuer", LINKS.c.subject == subject)
    )
    if row is None:
        raise no_such_thing()
    return row


def _insert(transaction: Transaction, terms: Terms, notice: Notice, *, partner: str, role: str) -> None:
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


def _change(transaction: Transaction, receipt: str, **values: object) -> None:
    transaction.execute(update(RECEIPTS).where(RECEIPTS.c.id == receipt).values(**values))


def _end(transaction: Transaction, row: Any, state: ReceiptState, **more: object) -> None:
    """End a receipt, what was derived under it, and its link where it was the last one there."""
    ended = {"state": state, "ended_at_s": transaction.now_s, "live_leaf": None}
    _change(transaction, row.id, next_period=None, next_close_s=None, **ended, **more)
    drop_claims_of(transaction, row.id)
    transaction.execute(DECISIONS.delete().where(DECISIONS.c.receipt == row.id))
    alive = select(RECEIPTS.c.id).where(
        RECEIPTS.c.link == row.link, RECEIPTS.c.state.in_((ReceiptState.REQUESTED, ReceiptState.GIVEN))
    )
    if transaction.row(alive) is None:
        end_link(transaction, row.link)


def _tell(transaction: Transaction, kind: str, row: Any, body: wire.Request) -> None:
    queue_message(transaction, kind, partner=row.partner, about=row.id, body=body)


def _acknowledge(
    node: Node, transaction: Transaction, terms: Terms, state: Literal["given", "withdrawn"], signed: str
) -> str:
    """Return our signature over the digest of what the issuer signed."""
    return node.signed(
        Acknowledgement(
            receipt=terms.receipt,
            version=terms.version,
            state=state,
            digest=signed_digest(signed),
            at=transaction.now_s,
        )
    )


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


def _with_hint() -> Any:
    return select(RECEIPTS, LINKS.c.partner_hint).join(LINKS, LINKS.c.id == RECEIPTS.c.link)


async def _once(node: Node, once: Once, work: Any, *, status: int = 200) -> StoredReply:
    """Do a write that changes a receipt, and answer with the receipt as it then stands."""

    def and_show(transaction: Transaction) -> wire.Receipt:
        return _shown(transaction.row(_with_hint().where(RECEIPTS.c.id == work(transaction))))

    def render(shown: wire.Receipt, proofs: tuple[wire.EntryProof, ...]) -> StoredReply:
        return StoredReply(status, shown.model_copy(update={"proofs": proofs}).model_dump_json())

    return await node.once(once, and_show, render)


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
