"""What this node saw of logs: those it cosigns, and those of partners that it follows."""

from sqlalchemy import text
from sqlmodel import Field, SQLModel

from tallystick_node.storage.tables.base import table_of


class Witnessed(SQLModel, table=True):
    """The checkpoint of a partner's log that this node cosigned last, its cosignature with it."""

    origin: str = Field(primary_key=True)
    origin_digest: str = Field(unique=True)
    size: int
    root: bytes
    note: bytes
    cosigned_at_s: int


class WitnessCount(SQLModel, table=True):
    """How often one of this node's witness keys has cosigned; a file beside the database counts along."""

    key: str = Field(primary_key=True)
    cosigned: int


class Followed(SQLModel, table=True):
    """The last head that was seen of a partner's log, and what of that log stands in ours.

    Attributes:
        keys: what `note` was signed with when it came, verifier keys one a line.
        state: `following`, or `forked` once it has shown two histories.
        own_log: the log of ours that the next three are about.
        anchors: how many entries in it are about this log.
        anchored_size: the size of the last head in it.
        news: how many entries in it were no anchors when that one was made.
    """

    origin: str = Field(primary_key=True)
    partner: str = Field(index=True)
    note: bytes
    keys: str = Field(default="", sa_column_kwargs={"server_default": text("''")})
    state: str
    own_log: str
    anchors: int
    anchored_size: int
    news: int
    seen_at_s: int


WITNESSED = table_of(Witnessed)
WITNESS_COUNTS = table_of(WitnessCount)
FOLLOWED = table_of(Followed)
