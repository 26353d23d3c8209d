"""Programs, and the two signatures on each."""

from sqlmodel import Field, SQLModel

from tallystick_node.storage.tables.base import table_of


class Program(SQLModel, table=True):
    """A version of a program this node knows.

    Attributes:
        logged: after how many others it was added to the ledger; None where it was not, or before that was kept.
    """

    payer: str = Field(primary_key=True)
    program: str = Field(primary_key=True)
    version: int = Field(primary_key=True)
    document: str
    digest: str
    logged: int | None = None


class Agreement(SQLModel, table=True):
    """A program that two partners signed, or one of them so far."""

    id: str = Field(primary_key=True)
    payer: str
    program: str = Field(index=True)
    version: int
    issuer: str
    payer_token: str
    issuer_token: str | None = None


PROGRAMS = table_of(Program)
AGREEMENTS = table_of(Agreement)
