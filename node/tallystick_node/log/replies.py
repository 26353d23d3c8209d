"""Replies that are kept: a write under an idempotency key happens once, and is answered alike ever after.

Source: P10, API section 2.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, insert, select
from sqlalchemy.sql.expression import Executable

from tallystick_node.errors import IdempotencyRefused
from tallystick_node.log.transaction import Transaction
from tallystick_node.storage.driver import Driver, Prepared
from tallystick_node.storage.tables import IDEMPOTENCY


@dataclass(frozen=True, slots=True)
class StoredReply:
    """A reply as it is given, and given again for the same idempotency key.

    Attributes:
        kept: what is stored in place of the body, where the body holds what must not lie in the database in clear; who
            asks again fills it in. None where the body itself is stored.
    """

    status: int
    body: str
    replayed: bool = False
    kept: str | None = None


@dataclass(frozen=True, slots=True)
class Once:
    """What makes a write happen once: who asks, under which key, for what.

    Attributes:
        guard: run before anything else, and kept whatever follows: it refuses a signed request that was seen before.
    """

    caller: str
    key: str
    fingerprint: str
    guard: Callable[[Transaction], None] | None = None


def find_reply(row_of: Callable[[Executable], Any | None], once: Once) -> StoredReply | None:
    """Return the reply this key got before, None where it is new.

    Args:
        row_of: runs a query and returns its first row: a transaction's, or a node's own.
        once: whose key, and for what.

    Raises:
        IdempotencyRefused: the key was used for something else.
    """
    statement = _REPLY_OF_KEY.where(IDEMPOTENCY.c.caller == once.caller, IDEMPOTENCY.c.key == once.key)
    return _reply_of(row_of(statement), once)


def kept_reply(driver: Driver, once: Once) -> StoredReply | None:
    """Return the reply this key got before, None where it is new; as `find_reply`, on the writer's own path.

    Raises:
        IdempotencyRefused: the key was used for something else.
    """
    return _reply_of(driver.run(_REPLY, _key_of(once)).fetchone(), once)


def keep_reply(driver: Driver, once: Once, reply: StoredReply, *, subject: str, now_s: int) -> None:
    """Keep the reply that a key got.

    Args:
        subject: the customer it tells of, with whom it is erased; "" for none.
    """
    kept = {
        "fingerprint": once.fingerprint,
        "status": reply.status,
        "body": reply.body if reply.kept is None else reply.kept,
        "created_at_s": now_s,
        "subject": subject,
    }
    driver.run(_KEEP_REPLY, {**_key_of(once), **kept})


def _reply_of(row: Sequence[Any] | None, once: Once) -> StoredReply | None:
    """Return a reply that was kept.

    Raises:
        IdempotencyRefused: it was given for something else.
    """
    if row is None:
        return None
    fingerprint, status, body = row
    if fingerprint != once.fingerprint:
        raise IdempotencyRefused(
            "This idempotency key was used for another request.", remedy="Make a new key for each new write."
        )
    return StoredReply(status, body, replayed=True)


def _key_of(once: Once) -> dict[str, object]:
    return {"caller": once.caller, "key": once.key}


_REPLY_OF_KEY = select(IDEMPOTENCY.c.fingerprint, IDEMPOTENCY.c.status, IDEMPOTENCY.c.body)
_REPLY = Prepared(
    _REPLY_OF_KEY.where(IDEMPOTENCY.c.caller == bindparam("caller"), IDEMPOTENCY.c.key == bindparam("key"))
)
_KEEP_REPLY = Prepared(insert(IDEMPOTENCY))
