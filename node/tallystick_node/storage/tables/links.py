"""Links, the offers that they begin with, and whom each was made for."""

from sqlmodel import Field, Index, SQLModel

from tallystick_node.storage.tables.base import partial_index, table_of


class Offer(SQLModel, table=True):
    """A link offer this node made, found again by the digest of its code."""

    digest: str = Field(primary_key=True)
    subject: str
    partner: str
    program: str
    hint: str
    login: str
    challenge: str
    expires_at_s: int
    state: str
    link: str | None = None


class Accepting(SQLModel, table=True):
    """An offer this node is taking at a partner: written before the call, so that a crash loses no half of a secret."""

    offer: str = Field(primary_key=True)
    subject: str
    unique: str
    body: str
    message: str
    started_at_s: int


class Link(SQLModel, table=True):
    """A link; its secret is in custody.

    Attributes:
        waits_until_s: until when it waits for the own receipt of a subject that has come of age.
        answered_until_s: at the issuer, up to when earlier links of the same subject answered for the program.
    """

    id: str = Field(primary_key=True)
    partner: str
    program: str
    role: str
    subject: str = Field(index=True)
    partner_hint: str
    login: str
    state: str
    created_at_s: int
    ended_at_s: int | None = None
    waits_until_s: int | None = Field(default=None, index=True)
    answered_until_s: int = Field(default=0, sa_column_kwargs={"server_default": "0"})

    __table_args__ = (
        partial_index("link_pending", "created_at_s", of="state = 'pending'"),
        Index("link_by_end", "ended_at_s"),
    )


class LinkUnique(SQLModel, table=True):
    """`u` of CONSTRUCTIONS: one link for each of our subjects, recipient and program.

    Attributes:
        answered_until_s: the end of the last period that links of this subject answered and have ended since.
    """

    unique: str = Field(primary_key=True)
    link: str | None = Field(default=None, index=True)
    free_from_s: int | None = None
    answered_until_s: int = Field(default=0, sa_column_kwargs={"server_default": "0"})


class WalletKey(SQLModel, table=True):
    """The key of a subject's wallet, and the one link that it signs for."""

    public_key: str = Field(primary_key=True)
    link: str


OFFERS = table_of(Offer)
ACCEPTING = table_of(Accepting)
LINKS = table_of(Link)
LINK_UNIQUE = table_of(LinkUnique)
WALLET_KEYS = table_of(WalletKey)
