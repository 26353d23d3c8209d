"""`u`: one person, one link to a program at a time, without a list of persons.

Who ends a link and makes the next one is the same person to us and a new one to the payer, which would pay again. So
`u` stays taken for a while after an end, and remembers up to when the links before told (P7).

Source: CONSTRUCTIONS (link secret), SCENARIOS 1.13.
"""

from typing import Any

from sqlalchemy import ColumnElement, and_, delete, func, insert, select, update

from tallystick_consent.claims.pairwise import link_unique
from tallystick_ledger.encoding import to_base64url
from tallystick_ledger.times import DAY_S
from tallystick_node.flows.links.offers import offer_refused
from tallystick_node.flows.programs import known_program, zone_of
from tallystick_node.log.transaction import Transaction
from tallystick_node.node import Node
from tallystick_node.storage.tables import CLAIMS, LINK_UNIQUE, LINKS, RECEIPTS

RELINK_AFTER_S = 90 * DAY_S
"""How long after a link's end its subject cannot be linked anew for the program: what was on its way rests."""

ANSWERED_KEPT_S = 400 * DAY_S
"""How long it is remembered up to when a subject's links answered: further back than a receipt can reach."""


def take_unique(node: Node, transaction: Transaction, subject: str, *, recipient: str, program: str) -> str:
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


def rest_unique(transaction: Transaction, link: str) -> None:
    """Keep `u` taken for a while after the end of its link, with the time up to which the link answered: the payer
    cannot know that the next one is the same person's, and would pay again (P7)."""
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


def let_go(transaction: Transaction, *which: ColumnElement[bool]) -> None:
    """Give `u` back at once, where nothing was told meanwhile; what links before it told stays remembered."""
    transaction.execute(update(LINK_UNIQUE).where(*which).values(link=None, free_from_s=transaction.now_s))
    transaction.execute(delete(LINK_UNIQUE).where(LINK_UNIQUE.c.link.is_(None), _is_forgettable(transaction.now_s)))


def forget_uniques(transaction: Transaction) -> None:
    """Let go of every `u` that is free, and whose links told nothing that a later link could tell again."""
    transaction.execute(delete(LINK_UNIQUE).where(_is_forgettable(transaction.now_s)))


def _is_forgettable(now_s: int) -> ColumnElement[bool]:
    return and_(LINK_UNIQUE.c.free_from_s <= now_s, LINK_UNIQUE.c.answered_until_s <= now_s - ANSWERED_KEPT_S)


def told_until_s(transaction: Transaction, subject: str, *, recipient: str, program: str) -> int:
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
