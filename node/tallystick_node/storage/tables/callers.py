"""Who calls, and what a call was answered."""

from sqlalchemy import text
from sqlmodel import Field, SQLModel

from tallystick_node.storage.tables.base import table_of


class AppKey(SQLModel, table=True):
    """A key of one of this company's apps: its hash, never itself."""

    id: str = Field(primary_key=True)
    digest: str = Field(unique=True)
    name: str
    scopes: str
    created_at_s: int
    expires_at_s: int | None = None


class AuditRead(SQLModel, table=True):
    """That an auditor read an entry bundle."""

    id: int | None = Field(default=None, primary_key=True)
    key: str
    path: str
    read_at_s: int


class Idempotency(SQLModel, table=True):
    """A reply that was given, kept for the same key to get it again.

    Attributes:
        subject: our customer that the reply tells of, "" for none; it is erased with that one.
    """

    caller: str = Field(primary_key=True)
    key: str = Field(primary_key=True)
    fingerprint: str
    status: int
    body: str
    created_at_s: int = Field(index=True)
    subject: str = Field(default="", index=True, sa_column_kwargs={"server_default": text("''")})


class Nonce(SQLModel, table=True):
    """A signed request that was seen, until its signature expires."""

    key_id: str = Field(primary_key=True)
    nonce: str = Field(primary_key=True)
    expires_at_s: int = Field(index=True)


APP_KEYS = table_of(AppKey)
AUDIT_READS = table_of(AuditRead)
IDEMPOTENCY = table_of(Idempotency)
NONCES = table_of(Nonce)
