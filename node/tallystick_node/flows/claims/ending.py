"""What happens to claims when their receipt ends.

Apart from `claims`, since receipts end without knowing how claims are made.
"""

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Select, exists, insert, or_, select, update

from tallystick_consent.entries import DisclosureBody
from tallystick_node.flows.claims.status import revoke_claim
from tallystick_node.log.transaction import Appended, Transaction
from tallystick_node.storage.tables import CLAIMS, DISCLOSURES, MESSAGES

_KEEP = insert(DISCLOSURES)


def log_disclosure(transaction: Transaction, body: DisclosureBody, *, correction: str = "") -> Appended:
    """Log a step of an answer, and keep its body for the next step.

    Args:
        correction: what the next step names as its cause: an answer's recipient is shown the entry of its issue, and a
            correction has other partners of the same person answered too (P6).
    """
    appended = transaction.append("disclosure", body.document())
    if body.state != "issued":  # which is the first of a claim
        transaction.execute(DISCLOSURES.delete().where(DISCLOSURES.c.claim == body.claim))
    kept = body.model_copy(update={"correction": correction}) if correction else body
    transaction.collect(_KEEP, claim=body.claim, body=kept.model_dump_json())
    return appended


def last_disclosure(transaction: Transaction, claim: str) -> DisclosureBody:
    """Return the last step of an answer that was logged here."""
    row = transaction.row(select(DISCLOSURES.c.body).where(DISCLOSURES.c.claim == claim))
    assert row is not None, "a claim is logged before anything else happens to it"
    return DisclosureBody.model_validate_json(row.body)


def withhold_claims(transaction: Transaction, claims: Sequence[str]) -> None:
    """Log that these claims, named by digest, were issued and will not be delivered."""
    for claim in claims:
        body = last_disclosure(transaction, claim).model_copy(update={"state": "withheld"})
        log_disclosure(transaction, body)
        held = {"state": "withheld", "token": "", "salt": ""}
        transaction.execute(update(CLAIMS).where(CLAIMS.c.digest == claim).values(**held))


def drop_claims_of(
    transaction: Transaction, receipt: str, *, but: Collection[str] = (), revoked_from_s: int = 0
) -> None:
    """Drop what the claims of an ended receipt say; that they were issued, accepted and paid stays, for the books.

    A claim that may be in somebody's hands and was not used is revoked. One that never left is not: nobody has it, and
    a status that changes would tell its recipient that there was one.

    Args:
        but: digests of those that are still to be delivered.
        revoked_from_s: when their status begins to show it; at once by default.
    """
    for row in transaction.execute(_left_unused(receipt)).all():
        if row.digest not in but:
            revoke_claim(transaction, row.digest, from_s=revoked_from_s)
    dropped = {"token": "", "salt": "", "answer": "", "band": None}
    over = (CLAIMS.c.receipt == receipt, CLAIMS.c.digest.not_in(but))
    transaction.execute(update(CLAIMS).where(*over).values(**dropped))


def _left_unused(receipt: str) -> Select[Any]:
    """Return the query of claims that were sent, and of which nothing was heard, or that a wallet may have."""
    sent = exists().where(
        MESSAGES.c.about == CLAIMS.c.digest,
        MESSAGES.c.kind == "claim.issued",
        or_(MESSAGES.c.state == "sending", MESSAGES.c.maybe_arrived),
    )
    unused = CLAIMS.c.state.in_(("issued", "withheld"))
    left = or_(sent, CLAIMS.c.handed_at_s.is_not(None))
    return select(CLAIMS.c.digest).where(CLAIMS.c.receipt == receipt, CLAIMS.c.role == "issuer", unused, left)
