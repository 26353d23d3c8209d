"""Links: two apps, one person logged in at both, and a secret that two nodes make together.

The recipient's app makes an offer; the person carries it to the issuer's app, which accepts it; the nodes exchange the
two halves of the secret, sealed; the session that began it confirms it. Neither company's customer id crosses. An offer
that is unknown, used, expired or clashing is refused with the same words.

Source: CONSTRUCTIONS (link secret, link offer), RFC 7636 (the challenge), SCENARIOS 1.13.
"""

import asyncio
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

import httpx
from sqlalchemy import ColumnElement, and_, delete, func, insert, select, update

from tallystick import wire
from tallystick.descriptor import Descriptor
from tallystick.errors import KeyRefused, NodeFailed, NodeProblem, NodeUnreachable, RateLimited, ReplyForged
from tallystick_consent.claims.pairwise import SECRET_SIZE_BYTES, link_id, link_secret, link_unique
from tallystick_consent.sealing import Context, open_from, seal_to
from tallystick_ledger.encoding import canonical_json, from_base64url, new_id, parse_canonical_json, to_base64url
from tallystick_ledger.errors import BadInput, SignatureRejected
from tallystick_node.errors import OfferRefused, PeerUnavailable, Refused
from tallystick_node.flows.outgoing import queue_message
from tallystick_node.flows.programs import known_program, zone_of
from tallystick_node.log.replies import Once, StoredReply
from tallystick_node.log.transaction import Transaction
from tallystick_node.node import Node
from tallystick_node.storage.tables import ACCEPTING, AGREEMENTS, CLAIMS, LINK_UNIQUE, LINKS, OFFERS, RECEIPTS

OFFER_LIFE_S = 10 * 60
OFFER_LIVES_S = {"app": OFFER_LIFE_S, "letter": 30 * 86_400}
"""How long an offer is good: as long as a session lasts, or until a letter has come and somebody has gone to a desk."""
RELINK_AFTER_S = 90 * 86_400
"""How long after a link's end its subject cannot be linked anew for the program: what was on its way rests."""
ANSWERED_KEPT_S = 400 * 86_400
"""How long it is remembered up to when a subject's links answered: further back than a receipt can reach."""

BY_LETTER = "letter"

OWN_RECEIPT_WITHIN_S = 90 * 86_400
"""How long a link waits for the own receipt of a subject that has come of age."""

UNCONFIRMED_LIFE_S = {"recipient": 2 * OFFER_LIFE_S, "issuer": 86_400}
"""How long a link may wait: the issuer waits longer, since the word that it is confirmed may be on its way."""


async def offer_link(node: Node, once: Once, body: wire.OfferLink) -> StoredReply:
    """Make an offer for one of our customers to carry to a partner.

    Raises:
        PartnerUnknown: no such partner.
        Refused: no such program agreed with it.
        PayloadErased: the customer was erased.
    """
    await asyncio.to_thread(node.partner, body.partner)
    code = f"{node.host}~{body.program}~{new_id('off', node.random_bytes(16)).removeprefix('off_')}"

    def work(transaction: Transaction) -> wire.LinkOffer:
        node.require_not_erased(body.subject)
        _require_agreed(transaction, body.program, payer=node.host, issuer=body.partner)
        transaction.subject = body.subject
        same = (OFFERS.c.subject == body.subject, OFFERS.c.partner == body.partner, OFFERS.c.program == body.program)
        # Two open offers of one person would clash: the newer one counts.
        transaction.execute(update(OFFERS).where(*same, OFFERS.c.state == "open").values(state="void"))
        expires_at_s = transaction.now_s + OFFER_LIVES_S[body.channel]
        transaction.execute(
            insert(OFFERS).values(
                digest=offer_digest(code),
                subject=body.subject,
                partner=body.partner,
                program=body.program,
                hint=body.hint,
                login=body.login if body.channel == "app" else body.channel,
                challenge=body.challenge,
                expires_at_s=expires_at_s,
                state="open",
            )
        )
        return wire.LinkOffer(offer=code, partner=body.partner, program=body.program, expires_at=expires_at_s)

    return await node.once(once, work, lambda offer, _: StoredReply(201, offer.model_dump_json()))


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
    partner = await asyncio.to_thread(node.partner, host)
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
    await asyncio.to_thread(node.custody.forget, _half_name(body.offer))
    return reply


def _begin(node: Node, transaction: Transaction, body: wire.AcceptLink, partner: Descriptor, program: str) -> _Begun:
    """Write down what will be sent before it is sent: after a crash the same half is sent again, never another."""
    digest = offer_digest(body.offer)
    row = transaction.row(select(ACCEPTING).where(ACCEPTING.c.offer == digest))
    if row is not None:
        if row.subject != body.subject:
            raise offer_refused()
        return _Begun(partner.host, program, row.message, wire.PeerLink.model_validate_json(row.body))
    node.require_not_erased(body.subject)
    _require_agreed(transaction, program, payer=partner.host, issuer=node.host)
    unique = _take_unique(node, transaction, body.subject, recipient=partner.host, program=program)
    half = transaction.random_bytes(SECRET_SIZE_BYTES)
    node.custody.keep(_half_name(body.offer), half)
    sealed = _seal_half(node, half, body.hint, partner)
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


def _take_unique(node: Node, transaction: Transaction, subject: str, *, recipient: str, program: str) -> str:
    """Claim `u` for this subject; refuse where another link holds it, in the words of a used offer."""
    k_unique = node.custody.find_or_make("unique")
    unique = to_base64url(link_unique(k_unique, recipient=recipient, program=program, subject=subject))
    taken = transaction.row(select(LINK_UNIQUE).where(LINK_UNIQUE.c.unique == unique))
    if taken is not None:
        if taken.free_from_s is None or taken.free_from_s > transaction.now_s:
            raise offer_refused()
        again = {"link": None, "free_from_s": None}
        transaction.execute(update(LINK_UNIQUE).where(LINK_UNIQUE.c.unique == unique).values(**again))
    else:
        transaction.execute(insert(LINK_UNIQUE).values(unique=unique))
    return unique


def _let_go(transaction: Transaction, *which: ColumnElement[bool]) -> None:
    """Give `u` back at once, where nothing was told meanwhile; what links before it told stays remembered."""
    transaction.execute(update(LINK_UNIQUE).where(*which).values(link=None, free_from_s=transaction.now_s))
    transaction.execute(delete(LINK_UNIQUE).where(LINK_UNIQUE.c.link.is_(None), _is_forgettable(transaction.now_s)))


def _is_forgettable(now_s: int) -> ColumnElement[bool]:
    return and_(LINK_UNIQUE.c.free_from_s <= now_s, LINK_UNIQUE.c.answered_until_s <= now_s - ANSWERED_KEPT_S)


def forget_uniques(transaction: Transaction) -> None:
    """Let go of every `u` that is free, and whose links told nothing that a later link could tell again."""
    transaction.execute(delete(LINK_UNIQUE).where(_is_forgettable(transaction.now_s)))


def _forget(node: Node, transaction: Transaction, offer: str) -> None:
    """Undo what `_begin` wrote: the partner refused."""
    row = transaction.row(select(ACCEPTING).where(ACCEPTING.c.offer == offer_digest(offer)))
    if row is not None:
        transaction.execute(delete(ACCEPTING).where(ACCEPTING.c.offer == row.offer))
        _let_go(transaction, LINK_UNIQUE.c.unique == row.unique, LINK_UNIQUE.c.link.is_(None))
    node.custody.forget(_half_name(offer))


def _finish(
    node: Node,
    transaction: Transaction,
    body: wire.AcceptLink,
    begun: _Begun,
    partner: Descriptor,
    answer: wire.PeerLinked,
) -> wire.Link:
    row = transaction.row(select(ACCEPTING).where(ACCEPTING.c.offer == offer_digest(body.offer)))
    half = node.custody.find(_half_name(body.offer))
    if row is None or half is None:
        raise offer_refused()
    transaction.subject = body.subject
    theirs, hint = _open_half(node, answer.half, partner)
    k_link = link_secret(recipient_half=theirs, issuer_half=half, recipient=partner.host, issuer=node.host)
    link = link_id(k_link)
    node.custody.keep(link_secret_name(link), k_link)
    transaction.execute(delete(ACCEPTING).where(ACCEPTING.c.offer == row.offer))
    transaction.execute(update(LINK_UNIQUE).where(LINK_UNIQUE.c.unique == row.unique).values(link=link))
    unique = transaction.row(select(LINK_UNIQUE.c.answered_until_s).where(LINK_UNIQUE.c.unique == row.unique))
    assert unique is not None, "it is taken before the offer is"
    told_until_s = _told_until_s(transaction, body.subject, recipient=partner.host, program=begun.program)
    return _insert(
        transaction,
        link=link,
        partner=partner.host,
        program=begun.program,
        role="issuer",
        subject=body.subject,
        partner_hint=hint,
        login=body.login,
        answered_until_s=max(unique.answered_until_s, told_until_s),
    )


def receive_link(node: Node, caller: str, transaction: Transaction, body: wire.PeerLink) -> wire.PeerLinked:
    """Take the issuer's half for one of our offers, and give ours.

    Raises:
        OfferRefused: unknown, used, expired, or made for another partner.
    """
    offer = transaction.row(select(OFFERS).where(OFFERS.c.digest == offer_digest(body.offer)))
    if offer is None or offer.state != "open" or offer.partner != caller or transaction.now_s >= offer.expires_at_s:
        raise offer_refused()
    transaction.subject = offer.subject
    partner = node.partner(caller)
    theirs, hint = _open_half(node, body.half, partner)
    half = transaction.random_bytes(SECRET_SIZE_BYTES)
    k_link = link_secret(recipient_half=half, issuer_half=theirs, recipient=node.host, issuer=caller)
    link = link_id(k_link)
    node.custody.keep(link_secret_name(link), k_link)
    _insert(
        transaction,
        link=link,
        partner=caller,
        program=offer.program,
        role="recipient",
        subject=offer.subject,
        partner_hint=hint,
        login=offer.login,
        waits_until_s=offer.expires_at_s if offer.login == BY_LETTER else None,
    )
    taken = {"state": "accepted", "link": link}
    transaction.execute(update(OFFERS).where(OFFERS.c.digest == offer.digest).values(**taken))
    return wire.PeerLinked(half=_seal_half(node, half, offer.hint, partner))


async def confirm_link(node: Node, once: Once, body: wire.ConfirmLink) -> StoredReply:
    """End what an offer began: only the session that holds the verifier can.

    Raises:
        OfferRefused: no accepted offer that this verifier began, or too late.
    """

    def work(transaction: Transaction) -> wire.Link:
        offer = transaction.row(select(OFFERS).where(OFFERS.c.digest == offer_digest(body.offer)))
        began = to_base64url(hashlib.sha256(body.verifier.encode()).digest())
        if (
            offer is None
            or offer.state != "accepted"
            or offer.challenge != began
            or transaction.now_s >= offer.expires_at_s
        ):
            raise offer_refused()
        transaction.subject = offer.subject
        transaction.execute(update(OFFERS).where(OFFERS.c.digest == offer.digest).values(state="confirmed"))
        transaction.execute(update(LINKS).where(LINKS.c.id == offer.link).values(state="active", waits_until_s=None))
        queue_message(
            transaction,
            "link.confirmed",
            partner=offer.partner,
            about=offer.link,
            body=wire.PeerLinkConfirmed(link=offer.link),
        )
        return _shown(transaction.row(select(LINKS).where(LINKS.c.id == offer.link)))

    return await node.once(once, work, lambda link, _: StoredReply(200, link.model_dump_json()))


def receive_link_confirmed(
    _node: Node, caller: str, transaction: Transaction, body: wire.PeerLinkConfirmed
) -> wire.PeerAcknowledged:
    """Take the word that the session which began a link has confirmed it; a link that ended stays ended."""
    mine = (LINKS.c.id == body.link, LINKS.c.partner == caller, LINKS.c.role == "issuer")
    transaction.execute(
        update(LINKS).where(*mine, LINKS.c.state == "pending").values(state="active", waits_until_s=None)
    )
    return wire.PeerAcknowledged()


def find_links(node: Node, subject: str) -> wire.Links:
    """Return the links of one customer."""
    rows = node.rows(select(LINKS).where(LINKS.c.subject == subject).order_by(LINKS.c.created_at_s, LINKS.c.id))
    return wire.Links(links=tuple(_shown(row) for row in rows))


def end_link(transaction: Transaction, link: str) -> None:
    """End a link. Its secret goes once this is committed (`destroy_ended`); `u` stays for a while, with the time up to
    which the link answered: the payer cannot know that the next one is the same person's, and would pay again (P7)."""
    ended = {"state": "ended", "ended_at_s": transaction.now_s}
    transaction.execute(update(LINKS).where(LINKS.c.id == link).values(**ended))
    unique = transaction.row(select(LINK_UNIQUE).where(LINK_UNIQUE.c.link == link))
    if unique is None:
        return
    in_force = select(RECEIPTS.c.id).where(RECEIPTS.c.link == link, RECEIPTS.c.acknowledged_at_s.is_not(None))
    # Where consent was never given, as after a no, nothing was told: who thinks again may link at once.
    waits_s = RELINK_AFTER_S if transaction.row(in_force) is not None else 0
    freed = {
        "free_from_s": transaction.now_s + waits_s,
        "answered_until_s": max(unique.answered_until_s, _answered_until_s(transaction, link)),
    }
    transaction.execute(update(LINK_UNIQUE).where(LINK_UNIQUE.c.link == link).values(**freed))


def _told_until_s(transaction: Transaction, subject: str, *, recipient: str, program: str) -> int:
    """Return up to when a subject's ended links answered, as their claims say, 0 where they told nothing.

    `u` knows it also of links that were emptied since; but version 0.1 let go of it 90 days after the end.
    """
    same = (LINKS.c.subject == subject, LINKS.c.partner == recipient, LINKS.c.program == program)
    ended = select(LINKS.c.id).where(*same, LINKS.c.role == "issuer", LINKS.c.state == "ended")
    return max((_answered_until_s(transaction, row.id) for row in transaction.execute(ended).all()), default=0)


def _answered_until_s(transaction: Transaction, link: str) -> int:
    """Return the end of the last period that was answered over a link, 0 where none was."""
    last = func.max(CLAIMS.c.period).label("period")
    told = (CLAIMS.c.role == "issuer", CLAIMS.c.state != "withheld", CLAIMS.c.link == link)
    mine = CLAIMS.c.receipt.in_(select(RECEIPTS.c.id).where(RECEIPTS.c.link == link))
    # The periods of one version of a program are all of one length, and their names in order of time.
    version = (CLAIMS.c.partner, CLAIMS.c.program, CLAIMS.c.version)
    rows = transaction.execute(select(*version, last).where(mine, *told).group_by(*version)).all()
    return max((_ends_s(transaction, row) for row in rows), default=0)


def _ends_s(transaction: Transaction, claim: Any) -> int:
    program = known_program(transaction, claim.partner, claim.program, claim.version)
    return program.period(claim.period, zone=zone_of(program)).end_s


def await_own_receipt(transaction: Transaction, link: str) -> None:
    """Keep a link whose guardian's receipt has ended: its subject, now of age, may give one of its own."""
    waits = {"waits_until_s": transaction.now_s + OWN_RECEIPT_WITHIN_S}
    transaction.execute(update(LINKS).where(LINKS.c.id == link).values(**waits))


def left_over(now_s: int) -> tuple[Any, Any]:
    """Return the queries of acceptances whose partner never answered, and of offers that have long run out."""
    return (
        select(ACCEPTING.c.offer, ACCEPTING.c.unique).where(ACCEPTING.c.started_at_s + 2 * OFFER_LIFE_S <= now_s),
        select(OFFERS.c.digest).where(OFFERS.c.expires_at_s + 2 * OFFER_LIFE_S <= now_s),
    )


def expire_links(node: Node, transaction: Transaction) -> None:
    """End what was begun and never confirmed, and what waited in vain: for a letter, or a receipt of its own."""
    now_s = transaction.now_s
    for row in transaction.execute(select(LINKS).where(LINKS.c.waits_until_s <= now_s)).all():
        transaction.execute(update(LINKS).where(LINKS.c.id == row.id).values(waits_until_s=None))
        end_link(transaction, row.id)
        if row.state == "pending":  # nothing was ever told under it
            _let_go(transaction, LINK_UNIQUE.c.link == row.id)
    for role, life_s in UNCONFIRMED_LIFE_S.items():
        waiting = (LINKS.c.state == "pending", LINKS.c.role == role, LINKS.c.waits_until_s.is_(None))
        stale = transaction.execute(select(LINKS.c.id).where(*waiting, LINKS.c.created_at_s + life_s <= now_s)).all()
        for row in stale:
            ended = {"state": "ended", "ended_at_s": now_s}
            transaction.execute(update(LINKS).where(LINKS.c.id == row.id).values(**ended))
            _let_go(transaction, LINK_UNIQUE.c.link == row.id)
    unanswered, run_out = left_over(now_s)
    for row in transaction.execute(unanswered).all():
        node.custody.forget(half_name(row.offer))
        transaction.execute(delete(ACCEPTING).where(ACCEPTING.c.offer == row.offer))
        _let_go(transaction, LINK_UNIQUE.c.unique == row.unique, LINK_UNIQUE.c.link.is_(None))
    transaction.execute(delete(OFFERS).where(OFFERS.c.digest.in_(run_out)))


def destroy_ended(node: Node) -> None:
    """Destroy the secrets of links that have ended; run after each ending and at every start, so a crash skips none."""
    for row in node.rows(select(LINKS.c.id).where(LINKS.c.state == "ended", LINKS.c.ended_at_s.is_not(None))):
        if node.custody.find(link_secret_name(row.id)) is not None:
            node.custody.destroy(link_secret_name(row.id))


def link_secret_name(link: str) -> str:
    """Return the name under which custody keeps a link's secret."""
    return f"link/{link}"


def half_name(digest: str) -> str:
    """Return the name under which custody keeps our half of a secret, while an offer of this digest is taken."""
    return f"half/{digest}"


def _require_agreed(transaction: Transaction, program: str, *, payer: str, issuer: str) -> None:
    row = transaction.row(
        select(AGREEMENTS.c.id).where(
            AGREEMENTS.c.payer == payer,
            AGREEMENTS.c.program == program,
            AGREEMENTS.c.issuer == issuer,
            AGREEMENTS.c.issuer_token.is_not(None),
        )
    )
    if row is None:
        raise Refused(
            "program_not_agreed",
            "The two partners have not both signed such a program.",
            remedy="The payer publishes it, the issuer accepts it; then make an offer.",
        )


def _insert(transaction: Transaction, *, link: str, **fields: Any) -> wire.Link:
    values = {"id": link, "state": "pending", "created_at_s": transaction.now_s, **fields}
    transaction.execute(insert(LINKS).values(**values))
    return _shown(transaction.row(select(LINKS).where(LINKS.c.id == link)))


def _shown(row: Any) -> wire.Link:
    return wire.Link(
        link=row.id,
        partner=row.partner,
        program=row.program,
        role=row.role,
        state=row.state,
        partner_hint=row.partner_hint,
        created_at=row.created_at_s,
    )


def _seal_half(node: Node, half: bytes, hint: str, partner: Descriptor) -> dict[str, str]:
    """Seal our half, with what the owner recognises our account by: the partner shows it to the same person."""
    return seal_to(
        canonical_json({"half": to_base64url(half), "hint": hint}),
        recipient_key=from_base64url(partner.key("seal").public),
        context=Context(sender=node.host, recipient=partner.host, key_id=partner.key("seal").id, purpose="link"),
        signing_key=node.keys.ed25519("receipt"),
    )


def _open_half(node: Node, sealed: Mapping[str, str], partner: Descriptor) -> tuple[bytes, str]:
    opened = parse_canonical_json(_open_from(node, sealed, partner))
    half, hint = opened.get("half"), opened.get("hint")
    if opened.keys() != {"half", "hint"} or not isinstance(half, str) or not isinstance(hint, str):
        raise BadInput("A link half is not of its form.", remedy="Seal it with this version's node.")
    secret = from_base64url(half)
    if len(secret) != SECRET_SIZE_BYTES or not 1 <= len(hint) <= 60 or not hint.isprintable():
        raise BadInput("A link half is not of its form.", remedy="Seal it with this version's node.")
    return secret, hint


def _open_from(node: Node, sealed: Mapping[str, str], partner: Descriptor) -> bytes:
    """Return what a partner sealed; a message names no keys, and in an overlap either side has two."""
    refused: SignatureRejected | None = None
    for (key_name, key), sender_key in product(node.keys.seals(), partner.ed25519("receipt").values()):
        context = Context(sender=partner.host, recipient=node.host, key_id=key_name, purpose="link")
        try:
            return open_from(sealed, key=key, context=context, sender_key=sender_key)
        except SignatureRejected as error:
            refused = error
    raise refused or BadInput("A partner has no key to seal under.", remedy="Ask the partner for its descriptor.")


def offer_digest(offer: str) -> str:
    """Return the digest by which an offer is found again; its code is not kept."""
    return to_base64url(hashlib.sha256(offer.encode()).digest())


def _half_name(offer: str) -> str:
    return half_name(offer_digest(offer))


def offer_refused() -> OfferRefused:
    """Return the one refusal of every offer that cannot be taken, whatever is wrong with it."""
    return OfferRefused(
        "This offer cannot be taken.", remedy="Make a new offer in the app that began, and take it in time."
    )
