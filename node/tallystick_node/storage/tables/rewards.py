"""Rewards of subjects, and the money between partners behind them."""

from sqlalchemy import text
from sqlmodel import Field, Index, SQLModel

from tallystick_node.storage.tables.base import table_of


class Reward(SQLModel, table=True):
    """A reward of one of our subjects; its id is the transfer's.

    Attributes:
        unique: `p`, while it is paid or waits; its own id after it was taken back, by the transfer `reversed_by`.
        cause: id of the entry that accepted its claim, which the transfer names; "" where an older version put it on
            the waiting list, and did not keep it.
    """

    id: str = Field(primary_key=True)
    subject: str = Field(index=True)
    link: str
    receipt: str
    claim: str
    program: str
    version: int
    period: str
    unique: str = Field(unique=True)
    asset: str
    amount_minor: int
    state: str
    posted_at_s: int | None = None
    reversed_by: str | None = None
    cause: str = Field(default="", sa_column_kwargs={"server_default": text("''")})


class Account(SQLModel, table=True):
    """The balance of an account."""

    name: str = Field(primary_key=True)
    asset: str = Field(primary_key=True)
    debits_posted: int
    debits_pending: int
    credits_posted: int
    credits_pending: int


class Transfer(SQLModel, table=True):
    """The last step of a transfer, as its entry has it.

    Attributes:
        reverses: the transfer that it takes back; each is taken back once.
    """

    id: str = Field(primary_key=True)
    body: str
    reverses: str | None = None

    __table_args__ = (Index("transfer_taken_back_once", "reverses", unique=True),)


REWARDS = table_of(Reward)
ACCOUNTS = table_of(Account)
TRANSFERS = table_of(Transfer)
