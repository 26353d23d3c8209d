"""Links that were erased, and the tombstones that these rows obeyed."""

from sqlalchemy import text
from sqlmodel import Field, SQLModel

from tallystick_node.storage.tables.base import table_of


class Erasure(SQLModel, table=True):
    """A link that was, or is to be, erased at both of its ends.

    Attributes:
        link: its id; the row outlives what the link held.
        of: the tombstone's name of the subject that asked here; "" where the partner asked.
        buried: number of the tombstone.
        state: `due` until its time within the 24 hours; `asked`; `attested`, or `refused` by the partner. Where the
            partner asked, `attested` at once.
        receipts: ids of the link's receipts, JSON.
        held: claims that had not left, and those that may have, when the subject asked; JSON, by digest.
        request, attestation: as they were signed.
        log, leaf: where the entry stands by which it was asked for; null where the partner asked.
        attested_log, attested_leaf: where the entry stands that tells of the attestation.
    """

    id: str = Field(primary_key=True)
    link: str = Field(index=True)
    partner: str
    role: str
    of: str = Field(index=True)
    buried: int
    state: str = Field(index=True)
    receipts: str
    held: str
    due_s: int
    asked_at_s: int | None = None
    attested_at_s: int | None = None
    request: str = ""
    attestation: str = ""
    log: str = ""
    leaf: int | None = None
    attested_log: str = ""
    attested_leaf: int | None = None


class Buried(SQLModel, table=True):
    """A tombstone that these rows have obeyed.

    Attributes:
        name: the name on it, under which custody kept what it stands for: a keyed hash of a subject, or a link.
        scrubbed: whether what was deleted is in no file of the database any more.
        secrets_too: names of what custody destroyed with it, a JSON array.
        outlives: the name of what custody keeps until `until_s`; "" for nothing.
    """

    number: int = Field(primary_key=True)
    name: str = Field(default="", sa_column_kwargs={"server_default": text("''")})
    scrubbed: bool = False
    secrets_too: str = Field(default="[]", sa_column_kwargs={"server_default": text("'[]'")})
    outlives: str = Field(default="", sa_column_kwargs={"server_default": text("''")})
    until_s: int = Field(default=0, sa_column_kwargs={"server_default": text("0")})


ERASURES = table_of(Erasure)
BURIED = table_of(Buried)
