"""Who calls: apps of this company, by their keys; and the record of what an auditor among them read."""

import hashlib
from dataclasses import dataclass

from sqlalchemy import insert, select

from tallystick_node.errors import KeyInvalid
from tallystick_node.log.transaction import Transaction
from tallystick_node.node import Node
from tallystick_node.storage.tables import APP_KEYS, AUDIT_READS


@dataclass(frozen=True, slots=True)
class App:
    """Who calls: an app of this company, by its key."""

    id: str
    name: str
    scopes: frozenset[str]


def find_app(node: Node, authorization: str) -> App:
    """Return the app whose key a request carries.

    Raises:
        KeyInvalid: none, unknown or expired; which of them is not said.
        TooManyRequests: it calls more often than it may.
    """
    kind, _, key = authorization.partition(" ")
    # Keys are 256 random bits, so a plain digest is as good as a slow one, and comparing digests tells no timing.
    digest = hashlib.sha256(key.encode()).hexdigest()
    row = node.row(select(APP_KEYS).where(APP_KEYS.c.digest == digest)) if kind.lower() == "bearer" else None
    if row is None or (row.expires_at_s is not None and row.expires_at_s <= node.now_s()):
        raise KeyInvalid("The key is not valid here.", remedy="Send a key of this node: Authorization: Bearer KEY.")
    node.app_rates.count(row.id)
    return App(row.id, row.name, frozenset(row.scopes.split()))


def record_read(transaction: Transaction, *, app: str, what: str) -> None:
    """Write down that an auditor reads entries, before they are answered."""
    transaction.execute(insert(AUDIT_READS).values(key=app, path=what, read_at_s=transaction.now_s))
