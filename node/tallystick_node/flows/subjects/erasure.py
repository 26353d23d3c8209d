"""Erasure, as the apps here see it: asked for, followed link by link, and certified.

A subject's keys and rows are gone at once (`burying`). Each of its links is then erased in the ledger at a time of its
own within 24 hours (`erasure_asking`), and at the other end (`erasure_attesting`).

Source: DESIGN flow 8 and P9, GDPR articles 17 and 19.
"""

from typing import Any

from sqlalchemy import select

from tallystick import wire
from tallystick.papers import Certificate, CertifiedLink
from tallystick_consent.claims.jws import unchecked_payload
from tallystick_consent.erasure import ErasureAttestation, FieldAnswer
from tallystick_ledger.encoding import canonical_json
from tallystick_ledger.times import DAY_S
from tallystick_node.errors import NothingHeld, NotPublished, no_such_thing
from tallystick_node.flows.subjects.burying import bury_subject, is_known
from tallystick_node.log.replies import Once, StoredReply
from tallystick_node.log.transaction import Transaction
from tallystick_node.node import Node
from tallystick_node.paging import read_page
from tallystick_node.storage.tables import ERASURES

ATTEST_WITHIN_S = 30 * DAY_S
"""How long a partner may take before its answer is overdue: GDPR article 12(3), a month."""

LINKS_SHOWN_MAX = 1_000
"""Of how many links one subject's erasure is told; nobody has so many."""


async def erase_subject(node: Node, once: Once, body: wire.EraseSubject) -> StoredReply:
    """Erase a subject: keys and rows at once, the ledger and the partners link by link; also of a read-only log.

    Raises:
        NothingHeld: nothing is, or ever was, held under that id, and the caller did not say that it shall be barred all
            the same. Whoever mistypes one id would else bar another for ever, and believe that the first was erased.
    """

    def work(transaction: Transaction) -> wire.Erasures:
        if not (body.even_unknown or is_known(node, transaction, body.subject)):
            raise NothingHeld(
                "Nothing is held about a customer of this id.",
                remedy="Check the id; nothing was erased. To bar an id that is not known all the same: even_unknown.",
            )
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
        return _shown(node.rows(_of(node.secrets.name("subject", body.subject))), now_s=node.now_s())
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
    rows = node.rows(_of(node.secrets.name("subject", subject)))
    if not rows:
        raise no_such_thing()
    links = [_certified(node, row) for row in rows]
    if any(each is None for each in links):
        raise NotPublished(
            "The ledger does not say yet of every link that it was erased.",
            remedy="Ask again a day after the erasure; erasures/search says what is due when.",
        )
    partners = {row.partner: node.partners.token(row.partner) for row in rows}
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
    if attested is None or not node.partners.token(row.partner):
        return CertifiedLink(request=row.request, erased=erased)
    return CertifiedLink(request=row.request, erased=erased, attestation=row.attestation, attested=attested)


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
