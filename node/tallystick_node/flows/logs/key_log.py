"""Tell the log of the node's keys: those in use when it begins, and each change from then on.

Source: DESIGN section 4 (`key`), CONSTRUCTIONS (keys).
"""

from sqlalchemy import delete, insert, select

from tallystick_ledger.encoding import to_base64url
from tallystick_ledger.key_history import KeyChange, KeyState
from tallystick_node.keys.ring import STATE_ORDER
from tallystick_node.log.transaction import Transaction
from tallystick_node.node import Node
from tallystick_node.storage.tables import KEYS_LOGGED


def logged_keys(node: Node, transaction: Transaction) -> list[KeyChange]:
    """Return the last step of each key that the log tells of."""
    logged = {row.public: KeyState(row.state) for row in transaction.execute(select(KEYS_LOGGED)).all()}
    return [
        step
        for line in node.keys.ring.keys
        for step in line.steps()
        if line.public in logged and step.state is logged[line.public]
    ]


def log_keys(node: Node, transaction: Transaction) -> None:
    """Log every step of the node's keys that the log does not tell of yet; new keys before the ends of old ones."""
    logged = {row.public: KeyState(row.state) for row in transaction.execute(select(KEYS_LOGGED)).all()}
    missing = [
        change
        for line in node.keys.ring.keys
        for change in line.steps()
        if line.public not in logged or STATE_ORDER[change.state] > STATE_ORDER[logged[line.public]]
    ]
    for change in sorted(missing, key=lambda change: STATE_ORDER[change.state]):
        transaction.append("key", change.body())
        public = to_base64url(change.public)
        transaction.execute(delete(KEYS_LOGGED).where(KEYS_LOGGED.c.public == public))
        transaction.execute(insert(KEYS_LOGGED).values(public=public, state=str(change.state)))
