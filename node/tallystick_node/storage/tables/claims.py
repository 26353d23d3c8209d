"""Claims, from the ask to whether each still stands."""

from sqlalchemy import false, text
from sqlmodel import Field, SQLModel

from tallystick_node.storage.tables.base import partial_index, table_of


class Ask(SQLModel, table=True):
    """A partner's question, kept as it came; whether it means anything is found out later."""

    id: int | None = Field(default=None, primary_key=True)
    partner: str
    link: str
    program: str
    version: int
    period: str
    received_at_s: int


class Disclosure(SQLModel, table=True):
    """The last step of an answer, as its entry has it."""

    claim: str = Field(primary_key=True)
    body: str


class Claim(SQLModel, table=True):
    """A claim this node issued or accepted.

    Attributes:
        leaf: index of the entry that issued or accepted it.
        entry: at a recipient, the id of that entry; "" where an older version accepted it.
        log: the name of the log in which that stands.
        logged_at_s: when that was recorded.
        band: at a recipient, the band that it says; None where its rule has none.
        status_list, status_index: where the issuer publishes whether it still stands; at the issuer alone.
        has_holder: it is bound to a wallet's key, so that its subject can present it.
        handed_at_s: when it was handed to its subject's wallet, if ever.
    """

    number: int | None = Field(default=None, primary_key=True)
    digest: str = Field(unique=True)
    id: str
    role: str
    partner: str
    link: str
    receipt: str = Field(index=True)
    program: str
    version: int
    period: str
    nullifier: str = Field(index=True)
    state: str
    token: str
    salt: str
    expires_at_s: int
    leaf: int
    entry: str = Field(default="", sa_column_kwargs={"server_default": text("''")})
    log: str = Field(default="", sa_column_kwargs={"server_default": text("''")})
    logged_at_s: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    answer: str = ""
    acceptance: str = ""
    band: int | None = None
    status_list: str | None = None
    status_index: int | None = None
    has_holder: bool = Field(default=False, sa_column_kwargs={"server_default": false()})
    handed_at_s: int | None = None

    __table_args__ = (partial_index("claim_outstanding", "expires_at_s", of="state = 'issued'"),)


class StatusList(SQLModel, table=True):
    """A list that says of the claims made for one partner whether they still stand.

    Attributes:
        used: how many places are taken.
        changes: how many claims were revoked in it, so that a signed copy is known to be current.
    """

    id: str = Field(primary_key=True)
    partner: str = Field(index=True)
    used: int
    changes: int
    created_at_s: int


class StatusPlace(SQLModel, table=True):
    """A place of a status list that is taken, by a claim that the place itself does not name."""

    list: str = Field(primary_key=True)
    number: int = Field(primary_key=True)
    revoked_at_s: int | None = None


class Overtaken(SQLModel, table=True):
    """A claim, by its digest, that its issuer took back before it had come here: it is not taken when it comes.

    Attributes:
        partner: whose word that is; of another issuer's claim it says nothing.
        receipt: under which the claim was issued.
    """

    partner: str = Field(primary_key=True)
    claim: str = Field(primary_key=True)
    receipt: str = Field(index=True)
    at_s: int


class MadeGood(SQLModel, table=True):
    """A period that is to be answered since a correction, or late evidence, at a time of its own; gone once it is, or
    its receipt ends.

    Attributes:
        correction: id of the entry that says what was wrong, or missing; "" where evidence came late.
        log: in which log that stands.
        due_s: when it is answered.
    """

    receipt: str = Field(primary_key=True)
    period: str = Field(primary_key=True)
    correction: str
    log: str
    due_s: int = Field(index=True)


ASKS = table_of(Ask)
DISCLOSURES = table_of(Disclosure)
CLAIMS = table_of(Claim)
STATUS_LISTS = table_of(StatusList)
STATUS_PLACES = table_of(StatusPlace)
OVERTAKEN = table_of(Overtaken)
MADE_GOOD = table_of(MadeGood)
