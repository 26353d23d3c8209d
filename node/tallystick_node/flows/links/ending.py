"""How links end: with their last receipt, by their time, or because nobody confirmed them."""

from typing import Any

from sqlalchemy import BindParameter, delete, select, update

from tallystick_ledger.times import DAY_S
from tallystick_node.flows.links.accepting import half_name
from tallystick_node.flows.links.offers import OFFER_LIFE_S
from tallystick_node.flows.links.rows import link_secret_name
from tallystick_node.flows.links.uniques import let_go, rest_unique
from tallystick_node.log.transaction import Transaction
from tallystick_node.node import Node
from tallystick_node.storage.tables import ACCEPTING, LINK_UNIQUE, LINKS, OFFERS
from tallystick_node.storage.tables.base import written

OWN_RECEIPT_WITHIN_S = 90 * DAY_S
"""How long a link waits for the own receipt of a subject that has come of age."""

LOOKED_UP_TOGETHER_MAX = 1_000
"""Secrets of links that have ended, in one look at custody."""

UNCONFIRMED_LIFE_S = {"recipient": 2 * OFFER_LIFE_S, "issuer": DAY_S}
"""How long a link may wait: the issuer waits longer, since the word that it is confirmed may be on its way."""


def end_link(transaction: Transaction, link: str) -> None:
    """End a link. Its secret goes once this is committed (`destroy_ended`); `u` stays for a while (`rest_unique`)."""
    ended = {"state": "ended", "ended_at_s": transaction.now_s}
    transaction.execute(update(LINKS).where(LINKS.c.id == link).values(**ended))
    rest_unique(transaction, link)


def await_own_receipt(transaction: Transaction, link: str) -> None:
    """Keep a link whose guardian's receipt has ended: its subject, now of age, may give one of its own."""
    waits = {"waits_until_s": transaction.now_s + OWN_RECEIPT_WITHIN_S}
    transaction.execute(update(LINKS).where(LINKS.c.id == link).values(**waits))


def left_over(now_s: int | BindParameter[int]) -> tuple[Any, Any]:
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
            let_go(transaction, LINK_UNIQUE.c.link == row.id)
    for role, life_s in UNCONFIRMED_LIFE_S.items():
        waiting = (LINKS.c.state == written("pending"), LINKS.c.role == role, LINKS.c.waits_until_s.is_(None))
        stale = transaction.execute(select(LINKS.c.id).where(*waiting, LINKS.c.created_at_s + life_s <= now_s)).all()
        for row in stale:
            ended = {"state": "ended", "ended_at_s": now_s}
            transaction.execute(update(LINKS).where(LINKS.c.id == row.id).values(**ended))
            let_go(transaction, LINK_UNIQUE.c.link == row.id)
    unanswered, run_out = left_over(now_s)
    for row in transaction.execute(unanswered).all():
        node.custody.forget(half_name(row.offer))
        transaction.execute(delete(ACCEPTING).where(ACCEPTING.c.offer == row.offer))
        let_go(transaction, LINK_UNIQUE.c.unique == row.unique, LINK_UNIQUE.c.link.is_(None))
    transaction.execute(delete(OFFERS).where(OFFERS.c.digest.in_(run_out)))


def destroy_ended(node: Node, *, since_s: int) -> None:
    """Destroy the secrets of links that have ended; run after each ending, and at every start from the first one on, so
    that a crash skips none.

    Args:
        since_s: the earliest end that is looked at, seconds since 1970-01-01 UTC.
    """
    ended = select(LINKS.c.id).where(LINKS.c.state == "ended", LINKS.c.ended_at_s >= since_s)
    names = [link_secret_name(row.id) for row in node.rows(ended)]
    for begin in range(0, len(names), LOOKED_UP_TOGETHER_MAX):
        for name in node.custody.find_many(names[begin : begin + LOOKED_UP_TOGETHER_MAX]):
            node.custody.destroy(name)
