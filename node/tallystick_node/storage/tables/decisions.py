"""What was decided about subjects, and what they contest of it."""

from sqlalchemy import text
from sqlmodel import Field, SQLModel

from tallystick_node.storage.tables.base import table_of


class Decision(SQLModel, table=True):
    """What this node decided about a subject's period; never leaves it but to the subject.

    Attributes:
        band: which band was found, None where the rule has none or there was no answer.
        flags: what a person should look at, by how often, JSON.
        claim: digest of the claim that told it, "" where none did.
        asked: how often the partner asked for it, where it was refused when it did; else 0.
    """

    id: int | None = Field(default=None, primary_key=True)
    subject: str = Field(index=True)
    receipt: str = Field(index=True)
    partner: str
    program: str
    version: int
    period: str
    outcome: str
    counted: int
    not_counted: str
    reasons: str
    decided_at_s: int
    band: int | None = None
    flags: str = Field(default="{}", sa_column_kwargs={"server_default": text("'{}'")})
    claim: str = Field(default="", sa_column_kwargs={"server_default": text("''")})
    asked: int = Field(default=0, sa_column_kwargs={"server_default": "0"})


class Contest(SQLModel, table=True):
    """That a subject says a decision of this node is wrong; ends with the receipt, as the decision does.

    Attributes:
        decision: the decision's number.
        ground: a word of `wire.Ground`; nothing a person wrote freely.
        state: `open`, then `upheld` or `declined`.
        because: why it was declined, a word; "" otherwise.
        correction: what upholding it corrected, "" for nothing.
        answer_by_s: when an answer is due.
        delayed: why it takes longer than a month, a word; "" where it does not.
    """

    id: str = Field(primary_key=True)
    subject: str = Field(index=True)
    receipt: str = Field(index=True)
    decision: int = Field(unique=True)
    ground: str
    contested_at_s: int
    state: str = Field(default="open", sa_column_kwargs={"server_default": text("'open'")})
    because: str = Field(default="", sa_column_kwargs={"server_default": text("''")})
    correction: str = Field(default="", sa_column_kwargs={"server_default": text("''")})
    answered_at_s: int | None = None
    answer_by_s: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    delayed: str = Field(default="", sa_column_kwargs={"server_default": text("''")})


DECISIONS = table_of(Decision)
CONTESTS = table_of(Contest)
