"""Who speaks for a subject, and what people did other than in an app of their own."""

from sqlalchemy import text
from sqlmodel import Field, Index, SQLModel

from tallystick_node.storage.tables.base import table_of


class Standing(SQLModel, table=True):
    """Who speaks for a subject that does not, or not alone, speak for itself; never leaves the node.

    Attributes:
        kind: `minor`, `joint` or `company`; `own` where one speaks for itself again.
        speakers: the ids of those who may speak, a JSON array.
        of_age_from_s: of a minor, from when on it speaks for itself.
        needed: of joint holders, how many must say yes.
        recorded_by: the name of the app that said so, which may not say yes by it; "" where that was not kept.
    """

    subject: str = Field(primary_key=True)
    kind: str
    speakers: str
    of_age_from_s: int | None = None
    needed: int | None = None
    recorded_at_s: int
    recorded_by: str = Field(default="", sa_column_kwargs={"server_default": text("''")})


class Act(SQLModel, table=True):
    """Something that a person did or was told, other than in an app of its own: sealed, and committed to.

    Attributes:
        kind: `give`, `renew`, `narrow`, `approve`, `refuse`, `defer`, `pause`, `stop`, `see`, `erase`, `dispute` or
            `match`; `answer` where one of ours answered, `delay` where one said that this takes longer.
        by: who spoke for the subject, "" for the subject itself.
        grade: how it was seen.
        state: `done`, or `open` where somebody has to act on it, then `granted` or `declined`.
        because: why it was declined, a word; "" otherwise.
        correction: what was corrected since it was granted, "" for nothing.
        answer_by_s: when an answer is due, 0 where nothing was asked for.
        delayed: why it takes longer than a month, a word; "" where it does not.
        yes_to: of an approval that still counts: the digest of exactly what was approved; "" for all others.
    """

    __table_args__ = (Index("act_open", "state", "answer_by_s"),)

    number: int | None = Field(default=None, primary_key=True)
    id: str = Field(unique=True)
    subject: str = Field(index=True)
    receipt: str = Field(index=True)
    kind: str
    by: str
    grade: str
    state: str
    commitment: bytes
    ciphertext: bytes
    at_s: int
    yes_to: str = Field(default="", sa_column_kwargs={"server_default": text("''")})
    because: str = Field(default="", sa_column_kwargs={"server_default": text("''")})
    correction: str = Field(default="", sa_column_kwargs={"server_default": text("''")})
    answered_at_s: int | None = None
    answer_by_s: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    delayed: str = Field(default="", sa_column_kwargs={"server_default": text("''")})


class Letter(SQLModel, table=True):
    """A one-time code that went out by letter; the code itself is derived, and kept nowhere.

    Attributes:
        tries: how often a wrong code was told for its subject meanwhile.
        state: `open`, `used`, or `dead` after too many of those.
    """

    id: str = Field(primary_key=True)
    subject: str = Field(index=True)
    state: str
    tries: int
    expires_at_s: int = Field(index=True)


class Matching(SQLModel, table=True):
    """What became of an offer that somebody brought by letter, found again by the digest of its code.

    Attributes:
        state: `pending`, `matched`, `ambiguous` or `rejected`.
        subject: the one customer it could be, "" where there were none or several.
    """

    offer: str = Field(primary_key=True)
    state: str
    subject: str = Field(index=True)
    link: str | None = None
    at_s: int


STANDINGS = table_of(Standing)
ACTS = table_of(Act)
LETTERS = table_of(Letter)
MATCHINGS = table_of(Matching)
