"""What happens to claims when their receipt ends.

Apart from `claims`, since receipts end without knowing how claims are made.
"""

from collections.abc import Sequence

from sqlalchemy import select, update

from tallystick_consent.entries import DisclosureBody
from tallystick_node.tables import CLAIMS, DISCLOSURES
from tallystick_node.writer import Appended, Transaction


def log_disclosure(transaction: Transaction, body: DisclosureBody) -> Appended:
    """Log a step of an answer, and keep its body for the next step."""
    appended = transaction.append("disclosure", body.document())
    kept = {"claim": body.claim, "body": body.model_dump_json()}
    transaction.execute(DISCLOSURES.delete().where(DISCLOSURES.c.claim == body.claim))
    transaction.execute(DISCLOSURES.insert().values(**kept))
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


def drop_claims_of(transaction: Transaction, receipt: str) -> None:
    """Drop what the claims of an ended receipt say; that they were issued, accepted and paid stays, for the books."""
    dropped = {"token": "", "salt": "", "answer": "", "band": None}
    transaction.execute(update(CLAIMS).where(CLAIMS.c.receipt == receipt).values(**dropped))
