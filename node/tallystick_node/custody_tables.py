"""The two tables of custody; they stand in a database of their own."""

from sqlalchemy import Column, LargeBinary, MetaData, Table, Text

from tallystick_node.tables import WHOLE

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
