"""The node's database: how it is opened, and what its failures are called.

SQLite in WAL mode with `synchronous=FULL`: a commit that returned is on disk. One connection writes, in its own thread;
others read snapshots.

Source: sqlite.org/pragma.html, SQLAlchemy's notes on SQLite transactions.
"""

import sqlite3
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError
from sqlmodel import SQLModel

from tallystick_node import tables as tables  # the models register themselves
from tallystick_node.errors import StorageUnavailable

BUSY_TIMEOUT_S = 2.0


def open_database(path: Path) -> Engine:
    """Return the engine of a node's database, its tables made where they are missing.

    Raises:
        StorageUnavailable: it cannot be opened or written.
    """
    engine = create_engine(
        f"sqlite:///{path}",
        connect_args={"timeout": BUSY_TIMEOUT_S, "check_same_thread": False},
        hide_parameters=True,  # an error that is logged must not quote a subject's id
    )
    event.listen(engine, "connect", _prepare)
    event.listen(engine, "begin", _begin)
    with storage_errors():
        path.touch(mode=0o600)
        SQLModel.metadata.create_all(engine)
    return engine


@contextmanager
def storage_errors() -> Generator[None]:
    """Name the storage's own failures; a broken constraint is a mistake of ours, and passes through.

    Raises:
        StorageUnavailable: locked, full, read-only, or not there.
    """
    try:
        yield
    except (DBAPIError, sqlite3.Error, OSError) as error:
        if is_storage_trouble(error):
            raise unavailable() from error
        raise


def is_storage_trouble(error: DBAPIError | sqlite3.Error | OSError) -> bool:
    """Return whether the storage failed, and not a statement of ours."""
    failed = error.orig if isinstance(error, DBAPIError) else error
    ours = (sqlite3.IntegrityError, sqlite3.ProgrammingError, sqlite3.DataError, sqlite3.NotSupportedError)
    return isinstance(failed, sqlite3.DatabaseError | OSError) and not isinstance(failed, ours)


def unavailable() -> StorageUnavailable:
    """Return the error for a database that cannot be used now."""
    return StorageUnavailable(
        "The node's database is locked, full or read-only; nothing was changed.",
        remedy="Try again with the same idempotency key; the operator checks the disk.",
    )


def _prepare(connection: sqlite3.Connection, _record: object) -> None:
    # The driver's own transaction handling would commit before some statements; ours begins when we say.
    connection.isolation_level = None
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: Connection) -> None:
    options: Any = connection.get_execution_options()
    connection.exec_driver_sql("BEGIN IMMEDIATE" if options.get("writes") else "BEGIN")
