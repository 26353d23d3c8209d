"""Taking a partner's offer, at the issuer's end: our half goes out, and with the answer there is a link.

Source: CONSTRUCTIONS (link secret, link offer), SCENARIOS 1.13.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import httpx
from sqlalchemy import delete, insert, select, update

from tallystick import wire
from tallystick.descriptor import Descriptor
from tallystick.errors import KeyRefused, NodeFailed, NodeProblem, NodeUnreachable, RateLimited, ReplyForged
from tallystick_consent.claims.pairwise import SECRET_SIZE_BYTES, link_id, link_secret
from tallystick_ledger.errors import SignatureRejected
from tallystick_node.errors import PeerUnavailable
from tallystick_node.flows.links.halves import open_half, seal_half
from tallystick_node.flows.links.offers import BY_LETTER, OFFER_LIVES_S, offer_digest, offer_refused, require_agreed
from tallystick_node.flows.links.rows import insert_link, link_secret_name
from tallystick_node.flows.links.uniques import let_go, take_unique, told_until_s
from tallystick_node.log.replies import Once, StoredReply
from tallystick_node.log.transaction import Transaction
from tallystick_node.node import Node
from tallystick_node.storage.tables import ACCEPTING, LINK_UNIQUE, LINKS


@dataclass(frozen=True, slots=True)
class _Begun:
    """An acceptance under way: what to send, under which key, and whose offer it is."""

    host: str
    program: str
    message: str
    body: wire.PeerLink


async def accept_link(
    node: Node,
    http: httpx.AsyncClient,
    once: Once,
    body: wire.AcceptLink,
    *,
    by_letter: Callable[[Transaction, wire.Link], wire.Reply] | None = None,
) -> StoredReply:
    """Take a partner's offer for one of our customers.

    Args:
        by_letter: where the customer brought it by letter: what to write and answer once there is a link, which then
            waits for its confirmation as long as such an offer lives.

    Raises:
        OfferRefused: the offer cannot be taken, or this customer is linked already.
        PeerUnavailable: the partner does not answer; the same request can be sent again.
        PartnerUnknown, Refused: no such partner, or no such program agreed with it.
    """
    replayed = await asyncio.to_thread(node.replayed, once)
    if replayed is not None:
        return replayed
    host, program, _ = body.offer.split("~")
    partner = await asyncio.to_thread(node.partners.live, host)
    begun = (await node.written(lambda transaction: _begin(node, transaction, body, partner, program))).value
    try:
        peer = await asyncio.to_thread(node.peer, host, http)
        answer = await peer.post("/peer/v1/links", begun.body, idempotency_key=begun.message, reply=wire.PeerLinked)
    except (NodeUnreachable, NodeFailed, RateLimited, KeyRefused, ReplyForged) as error:
        # Whether the partner took our half is unknown, so it is kept: the same request can be sent again.
        raise PeerUnavailable(
            "The partner's node does not answer now.", remedy="Send it again with the same idempotency key."
        ) from error
    except NodeProblem as error:
        await node.written(lambda transaction: _forget(node, transaction, body.offer))
        raise offer_refused() from error

    def finish(transaction: Transaction) -> wire.Reply:
        link = _finish(node, transaction, body, begun, partner, answer)
        if by_letter is None:
            return link
        waits = {"waits_until_s": transaction.now_s + OFFER_LIVES_S[BY_LETTER]}
        transaction.execute(update(LINKS).where(LINKS.c.id == link.link).values(**waits))
        return by_letter(transaction, link)

    try:
        reply = await node.once(once, finish, lambda link, _: StoredReply(201, link.model_dump_json()))
    except SignatureRejected as error:
        raise PeerUnavailable(
            "The partner's half of the link does not open.",
            remedy="Compare both partners' descriptors, then try again.",
        ) from error
    await asyncio.to_thread(node.custody.forget, half_name(offer_digest(body.offer)))
    return reply


def receive_link_confirmed(
    _node: Node, caller: str, transaction: Transaction, body: wire.PeerLinkConfirmed
) -> wire.PeerAcknowledged:
    """Take the word that the session which began a link has confirmed it; a link that ended stays ended."""
    mine = (LINKS.c.id == body.link, LINKS.c.partner == caller, LINKS.c.role == "issuer")
    transaction.execute(
        update(LINKS).where(*mine, LINKS.c.state == "pending").values(state="active", waits_until_s=None)
    )
    return wire.PeerAcknowledged()


def half_name(digest: str) -> str:
    """Return the name under which custody keeps our half of a secret, while an offer of this digest is taken."""
    return f"half/{digest}"


def _begin(node: Node, transaction: Transaction, body: wire.AcceptLink, partner: Descriptor, program: str) -> _Begun:
    """Write down what will be sent before it is sent: after a crash the same half is sent again, never another."""
    digest = offer_digest(body.offer)
    row = transaction.row(select(ACCEPTING).where(ACCEPTING.c.offer == digest))
    if row is not None:
        if row.subject != body.subject:
            raise offer_refused()
        return _Begun(partner.host, program, row.message, wire.PeerLink.model_validate_json(row.body))
    node.secrets.require_not_erased(body.subject)
    require_agreed(transaction, program, payer=partner.host, issuer=node.host)
    unique = take_unique(node, transaction, body.subject, recipient=partner.host, program=program)
    half = transaction.random_bytes(SECRET_SIZE_BYTES)
    node.custody.keep(half_name(offer_digest(body.offer)), half)
    sealed = seal_half(node, half, body.hint, partner)
    message = transaction.new_id("msg")
    sent = wire.PeerLink(offer=body.offer, half=sealed)
    transaction.execute(
        insert(ACCEPTING).values(
            offer=digest,
            subject=body.subject,
            unique=unique,
            body=sent.model_dump_json(),
            message=message,
            started_at_s=transaction.now_s,
        )
    )
    return _Begun(partner.host, program, message, sent)


def _forget(node: Node, transaction: Transaction, offer: str) -> None:
    """Undo what `_begin` wrote: the partner refused."""
    row = transaction.row(select(ACCEPTING).where(ACCEPTING.c.offer == offer_digest(offer)))
    if row is not None:
        transaction.execute(delete(ACCEPTING).where(ACCEPTING.c.offer == row.offer))
        let_go(transaction, LINK_UNIQUE.c.unique == row.unique, LINK_UNIQUE.c.link.is_(None))
    node.custody.forget(half_name(offer_digest(offer)))


def _finish(
    node: Node,
    transaction: Transaction,
    body: wire.AcceptLink,
    begun: _Begun,
    partner: Descriptor,
    answer: wire.PeerLinked,
) -> wire.Link:
    row = transaction.row(select(ACCEPTING).where(ACCEPTING.c.offer == offer_digest(body.offer)))
    half = node.custody.find(half_name(offer_digest(body.offer)))
    if row is None or half is None:
        raise offer_refused()
    transaction.subject = body.subject
    theirs, hint = open_half(node, answer.half, partner)
    k_link = link_secret(recipient_half=theirs, issuer_half=half, recipient=partner.host, issuer=node.host)
    link = link_id(k_link)
    node.custody.keep(link_secret_name(link), k_link)
    transaction.execute(delete(ACCEPTING).where(ACCEPTING.c.offer == row.offer))
    transaction.execute(update(LINK_UNIQUE).where(LINK_UNIQUE.c.unique == row.unique).values(link=link))
    unique = transaction.row(select(LINK_UNIQUE.c.answered_until_s).where(LINK_UNIQUE.c.unique == row.unique))
    assert unique is not None, "it is taken before the offer is"
    told_s = told_until_s(transaction, body.subject, recipient=partner.host, program=begun.program)
    return insert_link(
        transaction,
        link=link,
        partner=partner.host,
        program=begun.program,
        role="issuer",
        subject=body.subject,
        partner_hint=hint,
        login=body.login,
        answered_until_s=max(unique.answered_until_s, told_s),
    )
