"""The tables of custody; they stand in a database of their own."""

from sqlalchemy import Column, Index, LargeBinary, MetaData, Table, Text

from tallystick_node.storage.tables.base import WHOLE

CUSTODY = MetaData()

SECRETS = Table(
    "secret",
    CUSTODY,
    Column("name", Text, primary_key=True),
    Column("day", WHOLE, nullable=False),
    Column("wrapped", LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)
"""Secrets by name, each wrapped under the key of a day: days since 1970-01-01."""

DESTROYED = Table("destroyed", CUSTODY, Column("name", Text, primary_key=True), sqlite_with_rowid=False)
"""The names of secrets that were destroyed and are never made again."""

TOMBSTONES = Table(
    "tombstone",
    CUSTODY,
    Column("number", WHOLE, primary_key=True, autoincrement=False),
    Column("name", Text, nullable=False, unique=True),
    Column("outlives", Text, nullable=False),
    Column("until_s", WHOLE, nullable=False),
    Index("tombstone_by_until", "until_s"),
)
"""Whose rows are to be gone: subjects by a keyed hash, links by their id.

They stand here because a backup of the node's rows, put back, brings back those rows and does not touch this.
`outlives` names a secret that is kept until `until_s`; then "".
"""
