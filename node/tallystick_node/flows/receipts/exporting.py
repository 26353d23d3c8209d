"""A receipt shown again: the words that its subject saw, and the same in the words of other standards.

Source: UX (page 1, download receipt), `tallystick_consent.receipts.exports`.
"""

import json
from collections.abc import Collection
from typing import Any, Literal

from sqlalchemy import select

from tallystick import wire
from tallystick.descriptor import open_self_signed
from tallystick.papers import NamedIn, SignedReceipt
from tallystick_consent.claims.jws import unchecked_payload
from tallystick_consent.receipts.exports import Exported, fdx_consent, fhir_consent
from tallystick_consent.receipts.receipt import Notice
from tallystick_consent.receipts.states import ReceiptState
from tallystick_consent.signed import signed_digest
from tallystick_ledger.entry import parse_entry
from tallystick_node.errors import no_such_thing
from tallystick_node.flows.receipts.rows import terms_of
from tallystick_node.node import Node
from tallystick_node.storage.tables import RECEIPTS

_FORMS = {"fhir": fhir_consent, "fdx": fdx_consent}


def show_notice(node: Node, receipt: str) -> wire.Shown:
    """Return what the subject of a receipt was shown, word for word.

    Raises:
        NotFound: there is none of that id.
    """
    row = _row(node, receipt)
    notice, terms = Notice.model_validate_json(row.notice), terms_of(row)
    return wire.Shown(
        receipt=row.id,
        version=row.version,
        partner=row.partner,
        notice=notice,
        digest=terms.notice,
        terms=terms.digest(),
    )


def export_receipt(node: Node, receipt: str, form: Literal["fhir", "fdx"]) -> wire.ReceiptExport:
    """Return a receipt in the words of another standard.

    Raises:
        NotFound: there is none of that id.
        ReceiptRejected: the standard has no words for it as it is.
    """
    row = _row(node, receipt)
    evidence = json.loads(row.evidence or "{}")
    given_at_s = _signed_at_s(row.signed) if row.signed else None
    exported = Exported(
        terms_of(row),
        Notice.model_validate_json(row.notice),
        ReceiptState(row.state),
        given_at_s=given_at_s,
        changed_at_s=next(at_s for at_s in (row.ended_at_s, given_at_s, row.requested_at_s) if at_s is not None),
        grade=evidence.get("grade", ""),
    )
    return wire.ReceiptExport(form=form, document=_FORMS[form](exported))


def signed_receipt(node: Node, receipt: str) -> SignedReceipt:
    """Return a receipt as both companies signed it, with the words that were shown: a file that verifies offline.

    Raises:
        NotFound: there is none of that id, it was not given, or what was kept of the giving is discharged.
    """
    row = _row(node, receipt)
    if row.signed is None:
        raise no_such_thing()
    tokens = {node.host: node.descriptor(), row.partner: node.partners.token(row.partner)}
    descriptors = {host: token for host, token in tokens.items() if token}
    return SignedReceipt(
        host=node.host,
        issued_at=node.now_s(),
        descriptors=descriptors,
        signed=row.signed,
        acknowledgement=_acknowledgement_of(row),
        notice=Notice.model_validate_json(row.notice),
        stop=row.stop or "",
        stop_acknowledgement=row.stop_acknowledgement or "",
        entries=_entries_of(node, row) if any(map(_gave_up_a_key, descriptors.values())) else (),
    )


def _entries_of(node: Node, row: Any) -> tuple[NamedIn, ...]:
    """Return the published entries of our ledger that name what is signed, of this receipt alone."""
    # Where that was not kept yet: in the log that is written now, unless that carries it in its opening, with others.
    signed = (row.signed_log, row.signed_leaf)
    if row.signed_leaf is None:
        signed = (node.shards.current.own.name, row.lived_leaf if row.live_leaf is None else row.live_leaf)
    places = (signed, (row.stop_log, row.stop_leaf))
    digests = {signed_digest(token) for token in (row.signed, row.stop) if token}
    proven = (node.prove(log, leaf) for log, leaf in places if leaf is not None)
    naming = (each for each in proven if each is not None and _names(each.entry, digests))
    return tuple(NamedIn(host=node.host, logged=each) for each in naming)


def _gave_up_a_key(token: str) -> bool:
    """Return whether a company has given up a key under which it may have signed something of a receipt."""
    described, _ = open_self_signed(token)
    return any(key.role == "receipt" and key.revoked_since_s is not None for key in described.keys)


def _names(text: str, digests: Collection[str]) -> bool:
    entry = parse_entry(text.encode())
    return entry.kind == "receipt" and entry.body.get("signed") in digests


def _acknowledgement_of(row: Any) -> str:
    """Return the other company's signature over the last yes; "" while there is none over that one."""
    token = row.acknowledgement or ""
    return token if token and unchecked_payload(token).get("digest") == signed_digest(row.signed) else ""


def _row(node: Node, receipt: str) -> Any:
    row = node.row(select(RECEIPTS).where(RECEIPTS.c.id == receipt))
    if row is None:
        raise no_such_thing()
    return row


def _signed_at_s(token: str) -> int:
    """Return when a receipt was signed; its signature was checked when it was taken."""
    return int(unchecked_payload(token)["at"])
