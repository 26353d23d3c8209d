"""What both ends of an erased link do with its receipts and claims."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import select

from tallystick_consent.entries import receipt_body
from tallystick_consent.receipts.states import TRANSITIONS, ReceiptState
from tallystick_node.flows.claims.ending import last_disclosure
from tallystick_node.flows.receipts.ending import end_receipt
from tallystick_node.flows.receipts.rows import terms_of
from tallystick_node.flows.receipts.steps import last_state, log_receipt
from tallystick_node.log.transaction import Transaction
from tallystick_node.storage.tables import CLAIMS

Held = tuple[list[str], list[str]]
"""Claims by digest: those that were held back, and those that may have arrived."""


def refuse_if_asked(transaction: Transaction, receipt: Any) -> bool:
    """Refuse a receipt that waits for its subject, who is gone; return whether it was one."""
    if ReceiptState.REFUSED not in TRANSITIONS[last_state(receipt)]:
        return False
    log_receipt(transaction, receipt_body(terms_of(receipt), ReceiptState.REFUSED))
    end_receipt(transaction, receipt, ReceiptState.REFUSED)
    return True


def still_issued(transaction: Transaction, receipt: str, claims: Sequence[str]) -> list[str]:
    """Return those of these claims of a receipt of which nothing more was logged than that they were issued."""
    of_it = select(CLAIMS.c.digest).where(CLAIMS.c.receipt == receipt)
    mine = {row.digest for row in transaction.execute(of_it).all()}
    return sorted({each for each in claims if each in mine and last_disclosure(transaction, each).state == "issued"})
