"""Events of subjects' journeys, and their corrections."""

from sqlalchemy import text
from sqlmodel import Field, Index, SQLModel

from tallystick_node.storage.tables.base import table_of


class Event(SQLModel, table=True):
    """A sealed event, and what is needed to find it again; erased with its subject.

    Attributes:
        leaf: index of its entry.
        log: the name of the log in which that stands.
        corrected_by: the entry that says that it was wrong; it does not count any more.
    """

    id: str = Field(primary_key=True)
    leaf: int
    log: str = Field(default="", sa_column_kwargs={"server_default": text("''")})
    subject: str
    type: str
    data_class: str
    at_s: int
    receipt: str
    commitment: bytes
    ciphertext: bytes
    recorded_at_s: int
    corrected_by: str | None = None

    __table_args__ = (Index("event_by_subject_class_time", "subject", "data_class", "at_s"),)


class Correction(SQLModel, table=True):
    """A correction of a subject's event, as it was signed; its id is its entry's. Erased with its subject."""

    id: str = Field(primary_key=True)
    subject: str = Field(index=True)
    token: str


EVENTS = table_of(Event)
CORRECTIONS = table_of(Correction)
