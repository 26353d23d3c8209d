"""A node's databases: how they are opened, how a transaction begins, and what their failures are called.

Two kinds, one behaviour. A commit that returned is on disk. Whoever writes begins alone: SQLite's `BEGIN IMMEDIATE`,
and on PostgreSQL a lock that every process of the node takes first, so that a write sees all that was committed before
it and nothing changes under it. Others read snapshots of committed rows, and wait for nobody. Every wait has a bound.

Source: sqlite.org/pragma.html, sqlite.org/lang_transaction.html, PostgreSQL manual 13.3.5 (advisory locks),
PEP 249 (the errors of every driver have the same names).
"""

import sqlite3
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from tallystick_node.errors import SettingsInvalid, StorageUnavailable

BUSY_TIMEOUT_S = 2.0
POSTGRES = "postgresql://"

CONNECTIONS_MAX = 20
"""How many connections a process may hold to one PostgreSQL database."""

POOL_TIMEOUT_S = 5.0

WRITE_LOCK = 0x7461_6C6C_7973_7469
"""The number of the lock that a write holds on PostgreSQL: `tallysti` in ASCII."""

_OURS = frozenset({"IntegrityError", "ProgrammingError", "DataError", "NotSupportedError"})
_THEIRS = frozenset({"DatabaseError", "InterfaceError"})

Place = Path | str
"""Where a database is: a file, or the `postgresql://` address of one."""


def connect(place: Place, *, alone: bool = False, patient: bool = False) -> Engine:
    """Return the engine of a database, its tables as they are.

    Args:
        place: the file, or the address; an error names neither.
        alone: one connection, for a file whose deleted bytes must not stay in it.
        patient: statements may take as long as they need, as a migration does.

    Raises:
        SettingsInvalid: the driver of PostgreSQL is not installed.
        StorageUnavailable: the file cannot be made.
    """
    if isinstance(place, str):
        engine = _connect_postgres(place, patient=patient)
    else:
        with storage_errors():
            place.touch(mode=0o600)
        bounds: dict[str, Any] = {"pool_size": 1, "max_overflow": 0, "pool_timeout": POOL_TIMEOUT_S} if alone else {}
        engine = create_engine(
            f"sqlite:///{place}",
            connect_args={"timeout": BUSY_TIMEOUT_S, "check_same_thread": False},
            hide_parameters=True,  # an error that is logged must not quote a subject's id
            **bounds,
        )
        event.listen(engine, "connect", _prepare)
    event.listen(engine, "begin", _begin)
    return engine


def is_postgres(engine: Engine | Connection) -> bool:
    """Return whether it is a PostgreSQL, which other processes of the same node may share."""
    return engine.dialect.name == "postgresql"


def writing(engine: Engine) -> Engine:
    """Return an engine whose transactions begin alone: no other write is under way until they end."""
    return engine.execution_options(writes=True)


def single_statements(engine: Engine) -> Engine:
    """Return an engine whose statements each stand alone, with no transaction round them: one question, one answer."""
    return engine.execution_options(**({"isolation_level": "AUTOCOMMIT"} if is_postgres(engine) else {"single": True}))


def close(engine: Engine) -> None:
    """Release a database, what waits in SQLite's write-ahead log moved into its file."""
    if not is_postgres(engine):
        with suppress(DBAPIError), single_statements(engine).connect() as connection:
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    # A thread that is still at work gives its connection back later, to a pool that nobody looks after any more.
    event.listen(engine.pool, "checkin", _end)
    engine.dispose()


def _end(connection: Any, _record: object) -> None:
    """Close a connection that comes back after the end; None where it was lost on the way."""
    if connection is not None:
        connection.close()


def scrub(engine: Engine) -> bool:
    """Leave nothing of what was deleted in SQLite's write-ahead log; return whether that could be done just now.

    On PostgreSQL old versions of rows stay until its vacuum, and in its write-ahead log until that is recycled.
    """
    if is_postgres(engine):
        return True
    with storage_errors(), single_statements(engine).connect() as connection:
        return connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").scalar() == 0


@contextmanager
def storage_errors() -> Generator[None]:
    """Name the storage's own failures; a broken constraint is a mistake of ours, and passes through.

    Raises:
        StorageUnavailable: not there, lost, locked, full or read-only.
    """
    try:
        yield
    except Exception as error:
        if is_storage_trouble(error):
            raise unavailable() from error
        raise


def is_storage_trouble(error: BaseException) -> bool:
    """Return whether the storage failed, and not a statement of ours."""
    failed = error.orig if isinstance(error, DBAPIError) else error
    names = {each.__name__ for each in type(failed).__mro__}
    return isinstance(failed, OSError | PoolTimeout) or bool(names & _THEIRS and not names & _OURS)


def unavailable() -> StorageUnavailable:
    """Return the error for a database that cannot be used now."""
    return StorageUnavailable(
        "The node's database does not answer, or is locked, full or read-only; nothing was acknowledged.",
        remedy="Try again with the same idempotency key; the operator checks the database and its disk.",
    )


def _connect_postgres(url: str, *, patient: bool) -> Engine:
    try:
        from tallystick_node.storage.postgres import connector  # the driver is an extra
    except ImportError as error:
        raise SettingsInvalid(
            "The driver of PostgreSQL is not installed.", remedy="pip install 'tallystick[node,postgres]'"
        ) from error
    return create_engine(
        "postgresql+psycopg://",
        creator=connector(url, patient=patient),
        hide_parameters=True,
        isolation_level="READ COMMITTED",
        pool_pre_ping=True,  # a server that was away is found again by the first who asks
        pool_size=CONNECTIONS_MAX // 4,
        max_overflow=CONNECTIONS_MAX - CONNECTIONS_MAX // 4,
        pool_timeout=POOL_TIMEOUT_S,
    )


def _prepare(connection: sqlite3.Connection, _record: object) -> None:
    # The driver's own transaction handling would commit before some statements; ours begins when we say.
    connection.isolation_level = None
    # What is deleted is overwritten with zeros: a row of somebody who was erased must not lie on in a free page.
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "secure_delete=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: Connection) -> None:
    options: Any = connection.get_execution_options()
    if is_postgres(connection):
        if options.get("writes"):
            _driver(connection).execute(f"SELECT pg_advisory_xact_lock({WRITE_LOCK})")
    elif not options.get("single"):
        _driver(connection).execute("BEGIN IMMEDIATE" if options.get("writes") else "BEGIN")


def _driver(connection: Connection) -> Any:
    """Return the driver's own connection: this runs in every transaction, and SQLAlchemy's way there costs more."""
    return connection.connection.driver_connection
