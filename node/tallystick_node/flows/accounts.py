"""The node's accounts: one step of a transfer, booked in the rows and logged as an entry, together.

Source: `tallystick_ledger.books`.
"""

from typing import Any

from sqlalchemy import delete, insert, select

from tallystick_ledger.books import Balance, Transfer, book, parse_transfer
from tallystick_ledger.encoding import canonical_json, parse_canonical_json
from tallystick_node.tables import ACCOUNTS, TRANSFERS
from tallystick_node.writer import Transaction


def book_step(transaction: Transaction, step: Transfer) -> None:
    """Book one step of a transfer and log it.

    Raises:
        BooksRefused: it does not follow, or overdraws a budget; nothing was booked.
        TransferInvalid: it is not of its form.
    """
    parse_transfer(step.body())
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
    transaction.execute(insert(TRANSFERS).values(id=step.id, body=canonical_json(step.body()).decode()))
    transaction.append("transfer", step.body())


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
