"""The subject's own wallet: one key a link, and the claims that it may present, handed to the company's app for it.

Source: CONSTRUCTIONS (between nodes: a wallet's key is one a link), RFC 9901 section 4.3.
"""

from sqlalchemy import insert, select, update

from tallystick import wire
from tallystick_consent.errors import ReceiptRejected
from tallystick_consent.receipts.evidence import Evidence
from tallystick_consent.receipts.states import IN_FORCE
from tallystick_node.log.transaction import Transaction
from tallystick_node.node import Node
from tallystick_node.storage.tables import CLAIMS, LINKS, RECEIPTS, WALLET_KEYS

HELD_MAX = 1_000
"""Claims that one answer hands over, newest first."""


def bind_wallet_key(transaction: Transaction, evidence: Evidence, *, link: str) -> None:
    """Keep the wallet key with which a receipt is given to its link for good.

    Raises:
        ReceiptRejected: it signed for another link, so that two partners could see that both know the same person.
    """
    if evidence.public_key is None:
        return
    known = transaction.row(select(WALLET_KEYS.c.link).where(WALLET_KEYS.c.public_key == evidence.public_key))
    if known is None:
        transaction.execute(insert(WALLET_KEYS).values(public_key=evidence.public_key, link=link))
    elif known.link != link:
        raise ReceiptRejected(
            "wallet_key_used", "The wallet's key belongs to another link.", remedy="Make a new key for each link."
        )


async def hand_claims(node: Node, body: wire.FindBySubject) -> wire.HeldClaims:
    """Return the claims about a customer that the customer's wallet can present; they may be there from now on."""
    return (await node.written(lambda transaction: _hand(node, transaction, body.subject))).value


def _hand(node: Node, transaction: Transaction, subject: str) -> wire.HeldClaims:
    mine = (CLAIMS.c.role == "issuer", CLAIMS.c.token != "", CLAIMS.c.expires_at_s > transaction.now_s)
    rows = transaction.execute(
        select(CLAIMS)
        .join(LINKS, LINKS.c.id == CLAIMS.c.link)
        .join(RECEIPTS, RECEIPTS.c.id == CLAIMS.c.receipt)
        .where(*mine, CLAIMS.c.has_holder.is_(True), LINKS.c.subject == subject, RECEIPTS.c.state.in_(IN_FORCE))
        .order_by(CLAIMS.c.number.desc())
        .limit(HELD_MAX)
    ).all()
    unmarked = [row.digest for row in rows if row.handed_at_s is None]
    if unmarked:
        handed = {"handed_at_s": transaction.now_s}
        transaction.execute(update(CLAIMS).where(CLAIMS.c.digest.in_(unmarked)).values(**handed))
    return wire.HeldClaims(
        claims=tuple(
            wire.HeldClaim(
                issuer=node.host, recipient=row.partner, period=row.period, expires_at=row.expires_at_s, token=row.token
            )
            for row in rows
        )
    )
