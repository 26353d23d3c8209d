"""Erasure of a link whose subject asked the other end: ours is destroyed, and we answer for every field.

What is kept, is kept on a ground and until a time.

Source: DESIGN flow 8 and P9, CONSTRUCTIONS (between nodes), GDPR articles 17 and 19.
"""

import json
from typing import Any

from sqlalchemy import func, insert, or_, select

from tallystick import wire
from tallystick_consent.entries import ErasureBody, Signature, erasure_body, receipt_body
from tallystick_consent.erasure import FIELDS, ErasedField, ErasureAttestation, ErasureRequest, FieldAnswer
from tallystick_consent.errors import ReceiptRejected
from tallystick_consent.receipts.states import ReceiptState
from tallystick_consent.signed import signed_digest
from tallystick_ledger.times import DAY_S
from tallystick_node.errors import Refused, no_such_thing
from tallystick_node.flows.claims.ending import withhold_claims
from tallystick_node.flows.receipts.duties import discharge_of
from tallystick_node.flows.receipts.ending import end_receipt
from tallystick_node.flows.receipts.rows import terms_of
from tallystick_node.flows.receipts.steps import last_state, log_receipt
from tallystick_node.flows.subjects.burying import bury_link, can_be_withdrawn, hold_back, receipts_of
from tallystick_node.flows.subjects.erasure_endings import Held, refuse_if_asked, still_issued
from tallystick_node.log.transaction import Transaction
from tallystick_node.node import Node
from tallystick_node.storage.tables import ACTS, CLAIMS, DECISIONS, ERASURES, EVENTS, LINKS, MESSAGES, RECEIPTS

ACCOUNTING_KEPT_S = 10 * 366 * DAY_S
"""How long transfers are kept for: the longest that tax law asks for where these companies are."""

ASKED_MAX = 8
"""How many requests of a partner to erase one link are attested."""


def receive_erasure(node: Node, caller: str, transaction: Transaction, body: wire.PeerSigned) -> wire.PeerAcknowledged:
    """Erase our end of a link, since its subject asked the other end; answer for every field, and sign.

    Raises:
        SignatureRejected, BadInput, ReceiptRejected, NotFound: not the partner's request, about no link with it, or
            naming a receipt of another one.
        Refused: the partner has asked for the erasure of this link often enough.
    """
    request = node.partners.opened(body.token, ErasureRequest, of=caller)
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
    _require_within_asked(transaction, request)
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


def _require_within_asked(transaction: Transaction, request: ErasureRequest) -> None:
    """Refuse a further request for a link that is erased: each is an entry of ours for good. One that was restored
    from a backup asks once more under another id, and is answered."""
    asked = select(ERASURES.c.id).where(ERASURES.c.link == request.link, ERASURES.c.of == "")
    if transaction.row(asked.offset(ASKED_MAX - 1).limit(1)) is not None:
        raise Refused(
            "limit_reached", "The erasure of this link was attested often enough.", remedy="Show what was attested."
        )


def _end_for_partner(transaction: Transaction, receipt: Any, erasure: ErasureBody, *, held: Held) -> None:
    """End one receipt of a link whose subject asked the other end: its request is the word that it ended, and our
    attestation signs for that too."""
    if refuse_if_asked(transaction, receipt):
        return
    not_left = still_issued(transaction, receipt.id, held[0])
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
            deliverable=tuple(still_issued(transaction, receipt.id, held[1])),
            earned="drop",
        ),
    )
    withhold_claims(transaction, not_left)
    end_receipt(transaction, receipt, ReceiptState.WITHDRAWN, end_acknowledged_at_s=transaction.now_s)


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
