"""Claims that their issuer takes back, at the recipient: it is logged, and the reward reversed because of it.

Source: DESIGN flow 5 (posted -> reversed by a new linked transfer), SCENARIOS section 0 (transfer states).
"""

from sqlalchemy import delete, func, insert, select, update

from tallystick import wire
from tallystick_consent.entries import RetractionBody
from tallystick_consent.errors import ClaimRejected
from tallystick_consent.signed import Retraction, signed_digest
from tallystick_ledger.times import DAY_S
from tallystick_node.errors import Refused
from tallystick_node.flows.claims.rewards import take_back_reward
from tallystick_node.log.transaction import Transaction
from tallystick_node.node import Node
from tallystick_node.storage.tables import CLAIMS, OVERTAKEN, RECEIPTS

OVERTAKEN_KEPT_S = 2 * 366 * DAY_S
"""How long a claim that was overtaken is remembered: a claim is valid for a year from its period's close at most."""

OVERTAKEN_MAX = 1_000
"""Claims under one receipt of which that is remembered: more than a receipt ever has."""


def receive_retraction(
    node: Node, caller: str, transaction: Transaction, body: wire.PeerSigned
) -> wire.PeerAcknowledged:
    """Take a partner's word that a claim of its own stands no longer; one that has not come here is remembered, so that
    it is not taken when it does: its request may have been held up on the way.

    The answer is the acceptance that was signed for the claim, since that may never have arrived.

    Raises:
        SignatureRejected, BadInput, ReceiptRejected: not the caller's signed retraction.
        ClaimRejected: it is for somebody else, or of a claim that is another one here.
        Refused: more claims under one receipt were never here than a receipt has.
    """
    said = node.partners.opened(body.token, Retraction, of=caller)
    row = transaction.row(
        select(CLAIMS).where(CLAIMS.c.digest == said.claim, CLAIMS.c.role == "recipient", CLAIMS.c.partner == caller)
    )
    if said.recipient != node.host or (
        row is not None and (row.receipt, row.nullifier) != (said.receipt, said.nullifier)
    ):
        raise ClaimRejected(
            "claim_mismatch", "A retraction is of another claim, or for somebody else.", remedy="Retract what was sent."
        )
    if row is not None and row.state == "accepted":
        logged = RetractionBody(
            issuer=caller,
            receipt=said.receipt,
            claim=said.claim,
            nullifier=said.nullifier,
            signed=signed_digest(body.token),
        )
        retraction = transaction.append("retraction", logged.document()).entry.id
        retracted = {"state": "retracted", "token": "", "salt": ""}
        transaction.execute(update(CLAIMS).where(CLAIMS.c.digest == said.claim).values(**retracted))
        take_back_reward(node, transaction, said.claim, cause=retraction)
    elif row is None:
        _remember(transaction, said, caller)
    return wire.PeerAcknowledged() if row is None else wire.PeerAcknowledged(token=row.acceptance)


def _remember(transaction: Transaction, said: Retraction, caller: str) -> None:
    """Keep that a claim under a receipt between us was overtaken by its retraction, once."""
    between_us = (RECEIPTS.c.id == said.receipt, RECEIPTS.c.partner == caller, RECEIPTS.c.role == "recipient")
    is_ours = transaction.row(select(RECEIPTS.c.id).where(*between_us)) is not None
    if not is_ours or is_overtaken(transaction, said.claim, issuer=caller):
        return
    kept = select(func.count()).select_from(OVERTAKEN).where(OVERTAKEN.c.receipt == said.receipt)
    if transaction.execute(kept).scalar_one() >= OVERTAKEN_MAX:
        raise Refused(
            "limit_reached", "Too many claims under a receipt were taken back unseen.", remedy="Ask why none arrived."
        )
    transaction.execute(
        insert(OVERTAKEN).values(partner=caller, claim=said.claim, receipt=said.receipt, at_s=transaction.now_s)
    )


def is_overtaken(transaction: Transaction, claim: str, *, issuer: str) -> bool:
    """Return whether its own issuer's retraction of a claim, named by its digest, came before it."""
    named = (OVERTAKEN.c.partner == issuer, OVERTAKEN.c.claim == claim)
    return transaction.row(select(OVERTAKEN.c.claim).where(*named)) is not None


def forget_overtaken(transaction: Transaction) -> None:
    """Let go of claims that would be too old by now."""
    transaction.execute(delete(OVERTAKEN).where(OVERTAKEN.c.at_s <= transaction.now_s - OVERTAKEN_KEPT_S))
