"""Plain SQLite: one row an entry, WAL, `synchronous=FULL`, and nothing that a ledger adds.

Source: sqlite.org/pragma.html.
"""

import sqlite3
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from sqlite3 import Connection as Connection


@contextmanager
def open_rows(path: Path) -> Generator[sqlite3.Connection]:
    """Give a connection to a new database that holds one empty table."""
    connection = sqlite3.connect(path, isolation_level=None)
    for statement in (
        "PRAGMA journal_mode=WAL",
        "PRAGMA synchronous=FULL",
        "CREATE TABLE entry (number INTEGER PRIMARY KEY, raw BLOB NOT NULL)",
    ):
        connection.execute(statement)
    try:
        yield connection
    finally:
        connection.close()


def insert_rows(connection: sqlite3.Connection, raws: Sequence[bytes], *, batch: int) -> None:
    """Insert every entry, `batch` of them a commit."""
    for start in range(0, len(raws), batch):
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany("INSERT INTO entry (raw) VALUES (?)", [(raw,) for raw in raws[start : start + batch]])
        connection.execute("COMMIT")
