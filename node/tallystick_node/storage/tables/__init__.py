"""The node's tables.

What an auditor sees is the log; everything here is either the log's own bytes (`head`, `blob`) or what the node needs
to act on them. Times are whole seconds: signed data never passes through a database's date type.

Subjects stand here under the company's own ids, since it is the company's database; they stand nowhere else.

A file for each noun; this module has all of them, so that importing it makes the metadata whole. Models describe,
tables are asked: rows as objects are many times slower.
"""

from tallystick_node.storage.tables.callers import APP_KEYS, AUDIT_READS, IDEMPOTENCY, NONCES
from tallystick_node.storage.tables.claims import (
    ASKS,
    CLAIMS,
    DISCLOSURES,
    MADE_GOOD,
    OVERTAKEN,
    STATUS_LISTS,
    STATUS_PLACES,
)
from tallystick_node.storage.tables.decisions import CONTESTS, DECISIONS
from tallystick_node.storage.tables.erasures import BURIED, ERASURES
from tallystick_node.storage.tables.events import CORRECTIONS, EVENTS
from tallystick_node.storage.tables.links import ACCEPTING, LINK_UNIQUE, LINKS, OFFERS, WALLET_KEYS
from tallystick_node.storage.tables.logs import BLOBS, HEADS, KEYS_LOGGED
from tallystick_node.storage.tables.partners import MESSAGES, PARTNERS
from tallystick_node.storage.tables.people import ACTS, LETTERS, MATCHINGS, STANDINGS
from tallystick_node.storage.tables.programs import AGREEMENTS, PROGRAMS
from tallystick_node.storage.tables.receipts import DUTIES, RECEIPT_VERSIONS, RECEIPTS, SIGNED_FOR
from tallystick_node.storage.tables.rewards import ACCOUNTS, REWARDS, TRANSFERS
from tallystick_node.storage.tables.witnessing import FOLLOWED, WITNESS_COUNTS, WITNESSED

__all__ = [
    "ACCEPTING",
    "ACCOUNTS",
    "ACTS",
    "AGREEMENTS",
    "APP_KEYS",
    "ASKS",
    "AUDIT_READS",
    "BLOBS",
    "BURIED",
    "CLAIMS",
    "CONTESTS",
    "CORRECTIONS",
    "DECISIONS",
    "DISCLOSURES",
    "DUTIES",
    "ERASURES",
    "EVENTS",
    "FOLLOWED",
    "HEADS",
    "IDEMPOTENCY",
    "KEYS_LOGGED",
    "LETTERS",
    "LINKS",
    "LINK_UNIQUE",
    "MADE_GOOD",
    "MATCHINGS",
    "MESSAGES",
    "NONCES",
    "OFFERS",
    "OVERTAKEN",
    "PARTNERS",
    "PROGRAMS",
    "RECEIPTS",
    "RECEIPT_VERSIONS",
    "REWARDS",
    "SIGNED_FOR",
    "STANDINGS",
    "STATUS_LISTS",
    "STATUS_PLACES",
    "TRANSFERS",
    "WALLET_KEYS",
    "WITNESSED",
    "WITNESS_COUNTS",
]
