"""An offer that somebody brings by letter, who is not logged in: whose it is, is found out, and never guessed.

One customer that it can be, and the offer is taken for that one. None, or several, and it is refused in the words of a
used or expired offer; the partner hears nothing, and its offer runs out.

Source: SCENARIOS 1.13, DESIGN flow 2 (pending, matched, ambiguous, rejected).
"""

import asyncio

import httpx
from sqlalchemy import insert, select, update

from tallystick import wire
from tallystick_node.errors import OfferRefused, no_such_thing
from tallystick_node.flows.links.accepting import accept_link
from tallystick_node.flows.links.offers import offer_digest, offer_refused
from tallystick_node.flows.people.acts import keep_act
from tallystick_node.log.replies import Once, StoredReply
from tallystick_node.log.transaction import Transaction
from tallystick_node.node import Node
from tallystick_node.storage.tables import MATCHINGS

_OF_COUNT = {0: "rejected", 1: "pending"}


async def match_link(node: Node, http: httpx.AsyncClient, once: Once, body: wire.MatchLink) -> StoredReply:
    """Take an offer for the one customer it can be.

    Raises:
        OfferRefused: there are none or several, or the offer cannot be taken.
        PeerUnavailable: the partner does not answer; the same request can be sent again.
        PartnerUnknown, Refused: no such partner, or no such program agreed with it.
        PayloadErased: the customer was erased.
    """
    replayed = await asyncio.to_thread(node.replayed, once)
    if replayed is not None:
        return replayed
    found = frozenset(body.candidates)
    state = (await node.written(lambda transaction: _begin(node, transaction, body, found))).value
    if state != "pending":
        raise offer_refused()
    (subject,) = found

    def matched(transaction: Transaction, link: wire.Link) -> wire.Match:
        _change(transaction, body.offer, state="matched", link=link.link)
        about = {"channel": body.channel, "agent": body.agent, "login": body.login, "link": link.link}
        keep_act(node, transaction, "match", subject=subject, receipt="", by=None, grade="clerk", about=about)
        return wire.Match(state="matched", link=link.link)

    taken = wire.AcceptLink(subject=subject, offer=body.offer, hint=body.hint, login=body.login)
    try:
        return await accept_link(node, http, once, taken, by_letter=matched)
    except OfferRefused:
        await node.written(lambda transaction: _change(transaction, body.offer, state="rejected"))
        raise


def find_match(node: Node, offer: str) -> wire.Match:
    """Return what became of an offer that was brought by letter; for our back office, not for who stands at the desk.

    Raises:
        NotFound: it was not brought here.
    """
    row = node.row(select(MATCHINGS).where(MATCHINGS.c.offer == offer_digest(offer)))
    if row is None:
        raise no_such_thing()
    return wire.Match(state=row.state, link=row.link)


def _begin(node: Node, transaction: Transaction, body: wire.MatchLink, found: frozenset[str]) -> str:
    """Return `pending` where the offer may be taken now; what was brought once is not brought again for another."""
    digest, subject = offer_digest(body.offer), min(found) if len(found) == 1 else ""
    row = transaction.row(select(MATCHINGS).where(MATCHINGS.c.offer == digest))
    if row is not None:
        return str(row.state) if row.subject == subject else "rejected"
    if subject:
        node.secrets.require_not_erased(subject)
    state = _OF_COUNT.get(len(found), "ambiguous")
    transaction.execute(insert(MATCHINGS).values(offer=digest, state=state, subject=subject, at_s=transaction.now_s))
    return state


def _change(transaction: Transaction, offer: str, **values: object) -> None:
    transaction.execute(update(MATCHINGS).where(MATCHINGS.c.offer == offer_digest(offer)).values(**values))
