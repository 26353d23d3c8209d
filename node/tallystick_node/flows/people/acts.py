"""What people do other than in an app of their own, kept sealed: by which channel, through which clerk, in which words.

A record is sealed under its subject's key, so erasure takes it along; its commitment stands in the receipt's evidence.

Source: DESIGN flow 3 (evidence), CONSTRUCTIONS (payload commitment).
"""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import insert, select, update

from tallystick import wire
from tallystick_consent.errors import ReceiptRejected
from tallystick_consent.receipts.answering import answer_by_s
from tallystick_consent.receipts.evidence import (
    RECORD_MEDIA_TYPE,
    Approval,
    Evidence,
    Testimony,
    check_evidence,
    record_payload,
    yes_digest,
)
from tallystick_consent.receipts.receipt import Terms
from tallystick_ledger.encoding import to_base64url
from tallystick_ledger.vault import Sealed
from tallystick_node.log.transaction import Transaction
from tallystick_node.node import Node
from tallystick_node.storage.tables import ACTS


def seen(
    node: Node,
    transaction: Transaction,
    terms: Terms,
    told: Evidence | Testimony,
    *,
    kind: str,
    subject: str,
    app: str,
    by: str | None,
    renews: str = "",
) -> Evidence:
    """Return the evidence of a yes, its record sealed and kept where a clerk, a form or a speaker was there.

    Args:
        kind: `give`, `renew`, `narrow` or `approve`.
        app: the name of the key that vouches for it.
        renews: digest of the signed receipt or renewal that this yes follows; "" for the first.

    Raises:
        ReceiptRejected: a wallet signature that is not over these terms and that yes, or evidence that names a record
            itself.
        PayloadErased: the subject was erased.
    """
    if isinstance(told, Evidence) and (told.record is not None or told.approvals or told.read_back):
        raise ReceiptRejected(
            "receipt_malformed",
            "Evidence of an app names a record, and only its node makes records.",
            remedy="Send what the clerk tells as testimony.",
        )
    record = None
    if by is not None or isinstance(told, Testimony):
        asked = {"receipt": terms.receipt, "terms": terms.digest(), "renews": renews or None}
        about = {**told.model_dump(mode="json"), **asked, "by": by, "app": app}
        record = keep_act(
            node,
            transaction,
            kind,
            subject=subject,
            receipt=terms.receipt,
            by=by,
            grade=told.grade,
            about=about,
            yes_to=yes_digest(terms, renews=renews) if kind == "approve" else "",
        )
    if isinstance(told, Testimony):
        evidence = Evidence(grade=told.grade, app=app, login=told.login, record=record, read_back=told.read_back)
    else:
        evidence = told.model_copy(update={"app": app, "record": record})
    check_evidence(evidence, terms, renews=renews)
    return evidence


def keep_no(
    node: Node, transaction: Transaction, kind: str, *, subject: str, receipt: str, by: str | None, app: str
) -> None:
    """Seal and keep who refused, put off or stopped for a subject; of one that did so itself there is nothing to keep.

    Raises:
        PayloadErased: the subject was erased.
    """
    if by is not None:
        about = {"receipt": receipt, "by": by, "app": app}
        keep_act(node, transaction, kind, subject=subject, receipt=receipt, by=by, grade="app_asserted", about=about)


def keep_act(
    node: Node,
    transaction: Transaction,
    kind: str,
    *,
    subject: str,
    receipt: str,
    by: str | None,
    grade: str,
    about: Mapping[str, Any],
    state: str = "done",
    act: str | None = None,
    yes_to: str = "",
) -> str:
    """Seal and keep what was done; return the record's commitment, base64url.

    Args:
        act: its id, where one was drawn for it.
        yes_to: of an approval: the digest of what was approved.

    Raises:
        BadInput: it is longer than a payload may be.
        PayloadErased: the subject was erased.
    """
    act = act or transaction.new_id("act")
    payload = record_payload(kind, at_s=transaction.now_s, about=about)
    sealed, _ = node.secrets.vault.seal(payload, subject=subject, entry_id=act, media_type=RECORD_MEDIA_TYPE)
    transaction.execute(
        insert(ACTS).values(
            id=act,
            subject=subject,
            receipt=receipt,
            kind=kind,
            by=by or "",
            grade=grade,
            state=state,
            commitment=sealed.commitment,
            ciphertext=sealed.ciphertext,
            at_s=transaction.now_s,
            answer_by_s=answer_by_s(transaction.now_s) if state == "open" else 0,
            yes_to=yes_to,
        )
    )
    return to_base64url(sealed.commitment)


def approvals_of(transaction: Transaction, receipt: str, *, yes_to: str) -> dict[str, Approval]:
    """Return who of several holders has said yes so far to exactly this, and how that was seen.

    Args:
        yes_to: `yes_digest` of what is to be given; an approval of anything else, earlier or other, does not count.
    """
    of_this = (ACTS.c.receipt == receipt, ACTS.c.kind == "approve", ACTS.c.yes_to == yes_to)
    rows = transaction.execute(select(ACTS).where(*of_this).order_by(ACTS.c.number)).all()
    return {row.by: Approval(grade=row.grade, record=to_base64url(row.commitment)) for row in rows}


def forget_approvals(transaction: Transaction, receipt: str) -> None:
    """Let approvals of a receipt count no more, since somebody said no meanwhile; their records stay."""
    of_this = (ACTS.c.receipt == receipt, ACTS.c.kind == "approve")
    transaction.execute(update(ACTS).where(*of_this).values(yes_to=""))


def find_acts(node: Node, subject: str) -> wire.Acts:
    """Return what a customer did other than in an app, oldest first, each record opened.

    Raises:
        PayloadErased, PayloadUnavailable: a record cannot be read any more.
    """
    rows = node.rows(select(ACTS).where(ACTS.c.subject == subject).order_by(ACTS.c.number))
    return wire.Acts(acts=tuple(_shown(node, row) for row in rows))


def _shown(node: Node, row: Any) -> wire.Act:
    sealed = Sealed(row.commitment, row.ciphertext)
    opening = node.secrets.vault.open(sealed, subject=row.subject, entry_id=row.id, media_type=RECORD_MEDIA_TYPE)
    return wire.Act(
        act=row.id,
        kind=row.kind,
        receipt=row.receipt,
        state=row.state,
        at=row.at_s,
        because=row.because,
        correction=row.correction,
        answered_at=row.answered_at_s,
        answer_by=row.answer_by_s or None,
        delayed=row.delayed,
        commitment=to_base64url(row.commitment),
        opening=wire.Opening(
            salt=to_base64url(opening.salt), media_type=RECORD_MEDIA_TYPE, payload=to_base64url(opening.payload)
        ),
    )
