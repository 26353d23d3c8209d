"""Erasure, link by link: the ledger says it, the other end is asked, and its signed answer is logged.

A subject's keys and rows are gone at once (`burying`). Each of its links is then erased in the ledger at a time of its
own within 24 hours: what was live ends, the entry is written, and the partner is asked in the same transaction; through
the outbox, so that a partner which is away is asked when it returns. The partner destroys its own end of the link and
answers for every field; what it keeps, it keeps on a ground and until a time.

Source: DESIGN flow 8 and P9, CONSTRUCTIONS (between nodes), GDPR articles 17 and 19.
"""

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import func, insert, or_, select, update

from tallystick import wire
from tallystick.papers import Certificate, CertifiedLink
from tallystick_consent.claims.jws import unchecked_payload
from tallystick_consent.entries import ErasureBody, ReceiptBody, Signature, erasure_body, receipt_body
from tallystick_consent.erasure import FIELDS, ErasedField, ErasureAttestation, ErasureRequest, FieldAnswer
from tallystick_consent.errors import ReceiptRejected
from tallystick_consent.receipts.states import TRANSITIONS, ReceiptState
from tallystick_consent.signed import Withdrawal, open_object, signed_digest
from tallystick_ledger.encoding import canonical_json
from tallystick_node.errors import NotPublished
from tallystick_node.flows.claims.ending import last_disclosure, withhold_claims
from tallystick_node.flows.outgoing import queue_message
from tallystick_node.flows.receipts.duties import discharge_of
from tallystick_node.flows.receipts.rows import (
    ACKNOWLEDGE_WITHIN_S,
    DAY_S,
    change_receipt,
    end_receipt,
    last_state,
    log_receipt,
    require_timely,
    tell_partner,
    terms_of,
)
from tallystick_node.flows.subjects.burying import (
    bury_link,
    bury_subject,
    can_be_withdrawn,
    empty_link,
    empty_messages,
    hold_back,
    is_sending,
    receipts_of,
    unscrubbed,
)
from tallystick_node.log.replies import Once, StoredReply
from tallystick_node.log.transaction import Transaction
from tallystick_node.node import Node, no_such_thing
from tallystick_node.paging import read_page
from tallystick_node.storage.tables import ACTS, CLAIMS, DECISIONS, ERASURES, EVENTS, LINKS, MESSAGES, RECEIPTS

ATTEST_WITHIN_S = 30 * 86_400
"""How long a partner may take before its answer is overdue: GDPR article 12(3), a month."""

ACCOUNTING_KEPT_S = 10 * 366 * 86_400
"""How long transfers are kept for: the longest that tax law asks for where these companies are."""

LINKS_SHOWN_MAX = 1_000
"""Of how many links one subject's erasure is told; nobody has so many."""

_Held = tuple[list[str], list[str]]
"""Claims by digest: those that were held back, and those that may have arrived."""


async def erase_subject(node: Node, once: Once, body: wire.EraseSubject) -> StoredReply:
    """Erase a subject: keys and rows at once, the ledger and the partners link by link; also of a read-only log."""

    def work(transaction: Transaction) -> wire.Erasures:
        transaction.subject = ""  # it tells how far an erasure is, and no more of whom
        return erase_in(node, transaction, body.subject)

    return await node.once(
        once, work, lambda erasures, _: StoredReply(202, erasures.model_dump_json()), even_read_only=True
    )


def erase_in(node: Node, transaction: Transaction, subject: str) -> wire.Erasures:
    """Erase a subject in a write that does more than that; return how far it is."""
    name = bury_subject(node, transaction, subject)
    return _shown(transaction.execute(_of(name)).all(), now_s=transaction.now_s)


def find_erasures(node: Node, body: wire.FindErasures) -> wire.Erasures:
    """Return how far the erasure of a subject is at each of its partners; without one, a page of what is not attested.

    Raises:
        NotFound: the cursor is not one of this list.
    """
    if body.subject is not None:
        return _shown(node.rows(_of(node.secret_name("subject", body.subject))), now_s=node.now_s())
    mine = (ERASURES.c.of != "", ERASURES.c.state != "attested")
    order = (ERASURES.c.due_s, ERASURES.c.id)
    page = read_page(node, select(ERASURES).where(*mine), by=order, limit=body.limit, cursor=body.cursor)
    shown = _shown(page.rows, now_s=node.now_s())
    return shown.model_copy(update={"has_more": page.has_more, "next_cursor": page.next_cursor})


def certificate(node: Node, subject: str) -> Certificate:
    """Return the certificate of a subject's erasure, as far as the published head tells of it.

    Raises:
        NotFound: no such subject was erased here, or none that had a link.
        NotPublished: the ledger does not say it of every link so far.
    """
    rows = node.rows(_of(node.secret_name("subject", subject)))
    if not rows:
        raise no_such_thing()
    links = [_certified(node, row) for row in rows]
    if any(each is None for each in links):
        raise NotPublished(
            "The ledger does not say yet of every link that it was erased.",
            remedy="Ask again a day after the erasure; erasures/search says what is due when.",
        )
    partners = {row.partner: node.partner_token(row.partner) for row in rows}
    return Certificate(
        host=node.host,
        issued_at=node.now_s(),
        descriptors={node.host: node.descriptor(), **{host: token for host, token in partners.items() if token}},
        links=tuple(each for each in links if each is not None),
    )


def _certified(node: Node, row: Any) -> CertifiedLink | None:
    erased = node.prove(row.log, row.leaf) if row.leaf is not None else None
    if erased is None:
        return None
    attested = node.prove(row.attested_log, row.attested_leaf) if row.attested_leaf is not None else None
    if attested is None or not node.partner_token(row.partner):
        return CertifiedLink(request=row.request, erased=erased)
    return CertifiedLink(request=row.request, erased=erased, attestation=row.attestation, attested=attested)


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


def receive_erasure(node: Node, caller: str, transaction: Transaction, body: wire.PeerSigned) -> wire.PeerAcknowledged:
    """Erase our end of a link, since its subject asked the other end; answer for every field, and sign.

    Raises:
        SignatureRejected, BadInput, ReceiptRejected, NotFound: not the partner's request, about no link with it, or
            naming a receipt of another one.
    """
    request = open_object(body.token, ErasureRequest, keys=node.partner(caller).ed25519("receipt"))
    if (request.origin, request.partner) != (caller, node.host):
        raise ReceiptRejected(
            "receipt_malformed", "An erasure request is between others.", remedy="Send it to the partner it names."
        )
    before = transaction.row(select(ERASURES).where(ERASURES.c.id == request.erasure))
    if before is not None and before.attestation and before.request == body.token:
        return wire.PeerAcknowledged(token=before.attestation)
    link = transaction.row(select(LINKS).where(LINKS.c.id == request.link, LINKS.c.partner == caller))
    if link is None or before is not None:
        raise no_such_thing()
    _require_of_link(transaction, request)
    fields = _answers(transaction, link)
    attestation = node.signed(
        ErasureAttestation(
            erasure=request.erasure,
            partner=node.host,
            request=signed_digest(body.token),
            fields=fields,
            at=transaction.now_s,
        )
    )
    signed = Signature(at=transaction.now_s, digest=signed_digest(attestation))
    logged = erasure_body(request, signed=signed_digest(body.token), attestation=signed)
    held = hold_back(transaction, link.id)
    for receipt in transaction.execute(select(RECEIPTS).where(RECEIPTS.c.link == link.id)).all():
        _end_for_partner(transaction, receipt, logged, held=held)
        discharge_of(transaction, receipt.id, "evidence")
    number = bury_link(node, transaction, link)
    appended = transaction.append("erasure", logged.document())
    transaction.execute(
        insert(ERASURES).values(
            id=request.erasure,
            link=link.id,
            partner=caller,
            role=link.role,
            of="",
            buried=number,
            state="attested",
            receipts=json.dumps(list(request.receipts)),
            held="{}",
            due_s=transaction.now_s,
            attested_at_s=transaction.now_s,
            request=body.token,
            attestation=attestation,
            log="",
            attested_log=transaction.log,
            attested_leaf=appended.index,
        )
    )
    return wire.PeerAcknowledged(token=attestation)


def _require_of_link(transaction: Transaction, request: ErasureRequest) -> None:
    """Refuse to attest, in our ledger and for good, that receipts of another link are over."""
    elsewhere = (RECEIPTS.c.id.in_(request.receipts), RECEIPTS.c.link != request.link)
    if transaction.row(select(RECEIPTS.c.id).where(*elsewhere).limit(1)) is not None:
        raise ReceiptRejected(
            "receipt_malformed",
            "An erasure request names a receipt of another link.",
            remedy="Name the receipts of the link that is erased.",
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
    answer = open_object(token, ErasureAttestation, keys=node.partner(row.partner).ed25519("receipt"))
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


def _end(node: Node, transaction: Transaction, receipt: Any, request: str, *, held: _Held) -> None:
    """End one receipt of a link whose subject asked us: withdrawn where it was given, refused where it was asked for.

    The issuer tells the recipient by a withdrawal of its own; a recipient's request says it all.
    """
    terms = terms_of(receipt)
    if _refuse_if_asked(transaction, receipt):
        if receipt.role == "issuer":
            tell_partner(transaction, "receipt.refused", receipt, wire.PeerReceiptRefused(receipt=receipt.id))
        return
    if not can_be_withdrawn(last_state(receipt)):
        withhold_claims(transaction, _still_issued(transaction, receipt.id, held[0]))
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
        deliverable=tuple(_still_issued(transaction, receipt.id, held[1])),
        acknowledge_by=now_s + ACKNOWLEDGE_WITHIN_S,
        earned="drop",
    )
    log_receipt(transaction, step)
    withhold_claims(transaction, _still_issued(transaction, receipt.id, held[0]))
    end_receipt(transaction, receipt, ReceiptState.WITHDRAWN, unacknowledged_since_s=now_s)
    tell_partner(transaction, "receipt.withdrawn", receipt, wire.PeerSigned(token=token))


def _end_for_partner(transaction: Transaction, receipt: Any, erasure: ErasureBody, *, held: _Held) -> None:
    """End one receipt of a link whose subject asked the other end: its request is the word that it ended, and our
    attestation signs for that too."""
    if _refuse_if_asked(transaction, receipt):
        return
    not_left = _still_issued(transaction, receipt.id, held[0])
    if not can_be_withdrawn(last_state(receipt)):
        withhold_claims(transaction, not_left)
        return
    log_receipt(
        transaction,
        receipt_body(
            terms_of(receipt),
            ReceiptState.WITHDRAWN,
            signed=erasure.request,
            acknowledgement=erasure.attestation,
            deliverable=tuple(_still_issued(transaction, receipt.id, held[1])),
            earned="drop",
        ),
    )
    withhold_claims(transaction, not_left)
    end_receipt(transaction, receipt, ReceiptState.WITHDRAWN, end_acknowledged_at_s=transaction.now_s)


def _refuse_if_asked(transaction: Transaction, receipt: Any) -> bool:
    """Refuse a receipt that waits for its subject, who is gone; return whether it was one."""
    if ReceiptState.REFUSED not in TRANSITIONS[last_state(receipt)]:
        return False
    log_receipt(transaction, receipt_body(terms_of(receipt), ReceiptState.REFUSED))
    end_receipt(transaction, receipt, ReceiptState.REFUSED)
    return True


def _acknowledge_endings(transaction: Transaction, row: Any, answer: Signature) -> None:
    """Log that the other end signed for the receipts which our request ended; a withdrawal has an answer of its own."""
    for receipt in transaction.execute(select(RECEIPTS).where(RECEIPTS.c.link == row.link)).all():
        last = ReceiptBody.model_validate_json(receipt.last_step)
        if last.signed == signed_digest(row.request) and last.acknowledgement is None:
            body = receipt_body(terms_of(receipt), last.state, signed=last.signed, acknowledgement=answer)
            log_receipt(transaction, body)
            change_receipt(transaction, receipt.id, end_acknowledged_at_s=answer.at)


def _held(transaction: Transaction, row: Any) -> _Held:
    """Return what was held back when the subject asked, and since; and what may have arrived."""
    then, now = json.loads(row.held), hold_back(transaction, row.link)
    return [*then["held"], *now[0]], [*then["on_their_way"], *now[1]]


def _still_issued(transaction: Transaction, receipt: str, claims: Sequence[str]) -> list[str]:
    """Return those of these claims of a receipt of which nothing more was logged than that they were issued."""
    of_it = select(CLAIMS.c.digest).where(CLAIMS.c.receipt == receipt)
    mine = {row.digest for row in transaction.execute(of_it).all()}
    return sorted({each for each in claims if each in mine and last_disclosure(transaction, each).state == "issued"})


def _answers(transaction: Transaction, link: Any) -> tuple[FieldAnswer, ...]:
    """Return what becomes of each field of a link, looked up before it is gone."""
    receipts = receipts_of(transaction, link.id)

    def count(table: Any, *where: Any) -> int:
        row = transaction.row(select(func.count()).select_from(table).where(*where))
        return 0 if row is None else int(row[0])

    claims = CLAIMS.c.link == link.id
    there: dict[ErasedField, int] = {
        "link_secret": 1 if link.state != "ended" else 0,
        "answers": count(CLAIMS, claims, or_(CLAIMS.c.token != "", CLAIMS.c.answer != "")),
        "decisions": count(DECISIONS, DECISIONS.c.receipt.in_(receipts)),
        "evidence": count(RECEIPTS, RECEIPTS.c.link == link.id, RECEIPTS.c.signed.is_not(None))
        + count(ACTS, ACTS.c.receipt.in_(receipts)),
        "hints": 1 if link.partner_hint else 0,
        "messages": count(MESSAGES, MESSAGES.c.about.in_([link.id, *receipts]), MESSAGES.c.body.is_not(None)),
    }
    answers: dict[ErasedField, FieldAnswer] = {
        field: FieldAnswer(field=field, fate="erased" if there.get(field) else "none") for field in FIELDS
    }
    if count(EVENTS, EVENTS.c.receipt.in_(receipts)):
        answers["events"] = FieldAnswer(field="events", fate="kept", ground="own_customer")
    if count(CLAIMS, claims):
        until_s = transaction.now_s + _accounting_kept_s(transaction, link)
        answers["accounting"] = FieldAnswer(field="accounting", fate="kept", ground="legal_obligation", until=until_s)
    return tuple(answers[field] for field in FIELDS)


def _accounting_kept_s(transaction: Transaction, link: Any) -> int:
    """Return how long from now accounting is kept at most: what the terms of the link's receipts say, where they do."""
    rows = transaction.execute(select(RECEIPTS).where(RECEIPTS.c.link == link.id)).all()
    kept = [each.until_days for row in rows for each in terms_of(row).retention if each.field == "accounting"]
    return max(kept) * DAY_S if kept and link.role == "recipient" else ACCOUNTING_KEPT_S


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


def _of(name: str) -> Any:
    return (
        select(ERASURES).where(ERASURES.c.of == name).order_by(ERASURES.c.due_s, ERASURES.c.id).limit(LINKS_SHOWN_MAX)
    )


def _shown(rows: Any, *, now_s: int) -> wire.Erasures:
    return wire.Erasures(erasures=tuple(_shown_one(row, now_s) for row in rows))


def _shown_one(row: Any, now_s: int) -> wire.Erasure:
    is_late = row.state != "attested" and row.asked_at_s is not None and row.asked_at_s + ATTEST_WITHIN_S <= now_s
    return wire.Erasure(
        erasure=row.id,
        partner=row.partner,
        state=row.state,
        due_at=row.due_s,
        asked_at=row.asked_at_s,
        attested_at=row.attested_at_s,
        overdue=is_late,
        fields=_attested_fields(row.attestation) if row.state == "attested" else (),
    )


def _attested_fields(token: str) -> tuple[FieldAnswer, ...]:
    """Return what a partner answered; its signature was checked when the answer came."""
    content = unchecked_payload(token)
    return ErasureAttestation.model_validate_json(canonical_json(content)).fields
