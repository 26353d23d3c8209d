"""The node's accounts: one step of a transfer, booked in the rows and logged as an entry, together.

Source: `tallystick_ledger.books`.
"""

from typing import Any

from sqlalchemy import delete, insert, select

from tallystick_ledger.books import Balance, Transfer, book, check_reversal, parse_transfer
from tallystick_ledger.encoding import canonical_json, parse_canonical_json
from tallystick_ledger.errors import BooksRefused
from tallystick_node.log.transaction import Transaction
from tallystick_node.storage.tables import ACCOUNTS, TRANSFERS


def book_step(transaction: Transaction, step: Transfer) -> None:
    """Book one step of a transfer and log it.

    Raises:
        BooksRefused: it does not follow, overdraws a budget, or takes back what cannot be; nothing was booked.
        TransferInvalid: it is not of its form.
    """
    parse_transfer(step.body())
    if step.reverses:
        _check_reversal(transaction, step)
    row = transaction.row(select(TRANSFERS.c.body).where(TRANSFERS.c.id == step.id))
    booked = book(
        step,
        earlier=None if row is None else parse_transfer(parse_canonical_json(row.body.encode())),
        debit=balance_of(transaction, step.debit, step.asset),
        credit=balance_of(transaction, step.credit, step.asset),
    )
    _keep(transaction, step.debit, step.asset, booked.debit)
    _keep(transaction, step.credit, step.asset, booked.credit)
    transaction.execute(delete(TRANSFERS).where(TRANSFERS.c.id == step.id))
    kept = {"id": step.id, "body": canonical_json(step.body()).decode(), "reverses": step.reverses or None}
    transaction.execute(insert(TRANSFERS).values(**kept))
    transaction.append("transfer", step.body())


def transfer_of(transaction: Transaction, transfer: str) -> Transfer | None:
    """Return the last step of a transfer, None where there is none of that id."""
    row = transaction.row(select(TRANSFERS.c.body).where(TRANSFERS.c.id == transfer))
    return None if row is None else parse_transfer(parse_canonical_json(row.body.encode()))


def _check_reversal(transaction: Transaction, step: Transfer) -> None:
    posted = transfer_of(transaction, step.reverses)
    if posted is None:
        raise BooksRefused(
            "transfer_unknown", "What is taken back was never booked.", remedy="Check the transfer's id."
        )
    before = transaction.row(select(TRANSFERS.c.id).where(TRANSFERS.c.reverses == step.reverses))
    check_reversal(step, posted, reversed_by=None if before is None else before.id)


def balance_of(transaction: Transaction, name: str, asset: str) -> Balance:
    """Return an account's balance; one that was never used is empty."""
    row = transaction.row(select(ACCOUNTS).where(ACCOUNTS.c.name == name, ACCOUNTS.c.asset == asset))
    return Balance() if row is None else balance_in(row)


def balance_in(row: Any) -> Balance:
    """Return the balance that a row of accounts holds."""
    return Balance(row.debits_posted, row.debits_pending, row.credits_posted, row.credits_pending)


def _keep(transaction: Transaction, name: str, asset: str, balance: Balance) -> None:
    transaction.execute(delete(ACCOUNTS).where(ACCOUNTS.c.name == name, ACCOUNTS.c.asset == asset))
    transaction.execute(
        insert(ACCOUNTS).values(
            name=name,
            asset=asset,
            debits_posted=balance.debits_posted,
            debits_pending=balance.debits_pending,
            credits_posted=balance.credits_posted,
            credits_pending=balance.credits_pending,
        )
    )
