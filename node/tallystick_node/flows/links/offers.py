"""Offers of links, at the recipient's end: made, taken up by a partner, and confirmed.

The recipient's app makes an offer; the person carries it to the issuer's app, which accepts it (`accepting`); the nodes
exchange the two halves of the secret, sealed; the session that began it confirms it. Neither company's customer id
crosses. An offer that is unknown, used, expired or clashing is refused with the same words.

Source: CONSTRUCTIONS (link secret, link offer), RFC 7636 (the challenge), SCENARIOS 1.13.
"""

import asyncio
import hashlib

from sqlalchemy import insert, select, update

from tallystick import wire
from tallystick_consent.claims.pairwise import SECRET_SIZE_BYTES, link_id, link_secret
from tallystick_ledger.encoding import new_id, to_base64url
from tallystick_ledger.times import DAY_S
from tallystick_node.errors import OfferRefused, Refused
from tallystick_node.flows.links.halves import open_half, seal_half
from tallystick_node.flows.links.rows import insert_link, link_secret_name, shown_link
from tallystick_node.flows.outgoing import queue_message
from tallystick_node.log.replies import Once, StoredReply
from tallystick_node.log.transaction import Transaction
from tallystick_node.node import Node
from tallystick_node.storage.tables import AGREEMENTS, LINKS, OFFERS

OFFER_LIFE_S = 10 * 60

BY_LETTER = "letter"

OFFER_LIVES_S = {"app": OFFER_LIFE_S, "letter": 30 * DAY_S}
"""How long an offer is good: as long as a session lasts, or until a letter has come and somebody has gone to a desk."""


async def offer_link(node: Node, once: Once, body: wire.OfferLink) -> StoredReply:
    """Make an offer for one of our customers to carry to a partner.

    Raises:
        PartnerUnknown: no such partner.
        Refused: no such program agreed with it.
        PayloadErased: the customer was erased.
    """
    await asyncio.to_thread(node.partners.live, body.partner)
    code = f"{node.host}~{body.program}~{new_id('off', node.random_bytes(16)).removeprefix('off_')}"

    def work(transaction: Transaction) -> wire.LinkOffer:
        node.secrets.require_not_erased(body.subject)
        require_agreed(transaction, body.program, payer=node.host, issuer=body.partner)
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


def receive_link(node: Node, caller: str, transaction: Transaction, body: wire.PeerLink) -> wire.PeerLinked:
    """Take the issuer's half for one of our offers, and give ours.

    Raises:
        OfferRefused: unknown, used, expired, or made for another partner.
    """
    offer = transaction.row(select(OFFERS).where(OFFERS.c.digest == offer_digest(body.offer)))
    if offer is None or offer.state != "open" or offer.partner != caller or transaction.now_s >= offer.expires_at_s:
        raise offer_refused()
    transaction.subject = offer.subject
    partner = node.partners.live(caller)
    theirs, hint = open_half(node, body.half, partner)
    half = transaction.random_bytes(SECRET_SIZE_BYTES)
    k_link = link_secret(recipient_half=half, issuer_half=theirs, recipient=node.host, issuer=caller)
    link = link_id(k_link)
    node.custody.keep(link_secret_name(link), k_link)
    insert_link(
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
    return wire.PeerLinked(half=seal_half(node, half, offer.hint, partner))


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
        return shown_link(transaction.row(select(LINKS).where(LINKS.c.id == offer.link)))

    return await node.once(once, work, lambda link, _: StoredReply(200, link.model_dump_json()))


def require_agreed(transaction: Transaction, program: str, *, payer: str, issuer: str) -> None:
    """Refuse a link for a program that the two partners have not both signed."""
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


def offer_digest(offer: str) -> str:
    """Return the digest by which an offer is found again; its code is not kept."""
    return to_base64url(hashlib.sha256(offer.encode()).digest())


def offer_refused() -> OfferRefused:
    """Return the one refusal of every offer that cannot be taken, whatever is wrong with it."""
    return OfferRefused(
        "This offer cannot be taken.", remedy="Make a new offer in the app that began, and take it in time."
    )
