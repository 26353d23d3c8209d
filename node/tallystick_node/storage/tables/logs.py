"""The node's own logs: their edges, their entries, and the keys that they tell of."""

from sqlmodel import Field, SQLModel

from tallystick_node.storage.tables.base import table_of


class Head(SQLModel, table=True):
    """The right edge of a log and its signed head; each commit locks its row.

    Attributes:
        log: the log's name, such as `2027`: what follows `HOST/log/` in its origin.
        published_size: entries below it are published, so the rows that hold them may be dropped; as far as was known
            when the last commit was made.
        successor: the log that goes on where this one ended; nothing is appended here any more.
        last_at_s: when the last entry was recorded; times never run back in a log.
        contradicted_by: a head of this log, as it was signed, that others hold and its entries do not lead to; nothing
            is appended here any more.
    """

    log: str = Field(primary_key=True)
    size: int
    peaks: bytes
    checkpoint: bytes
    published_size: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    successor: str | None = None
    last_at_s: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    contradicted_by: bytes | None = None


class Blob(SQLModel, table=True):
    """Entries of one commit, side by side, each behind its length as in an entry bundle.

    Attributes:
        log: the log's name.
        first: index of the first of them.
    """

    log: str = Field(primary_key=True)
    first: int = Field(primary_key=True)
    count: int
    entries: bytes


class KeyLogged(SQLModel, table=True):
    """The last step of one of this node's keys that its log tells of."""

    public: str = Field(primary_key=True)
    state: str


HEADS = table_of(Head)
BLOBS = table_of(Blob)
KEYS_LOGGED = table_of(KeyLogged)
