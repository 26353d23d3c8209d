"""Every row of a database as lines of JSON, from one moment, and back into an empty one.

A copy of a file would be quicker to make, and would have to lie somewhere in clear before it is sealed; rows can be
sealed as they are read. They also go from SQLite to PostgreSQL and back, and nothing of what was deleted goes along.

The first line is `{"revision"}`, of the database. A table begins with `{"table", "columns"}`; each of its rows is an
array in that order, bytes as `{"b": base64}`. The last line is `{"rows": COUNT}`.

Source: docs/formats.md, "Data backups".
"""

import json
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeAlias, cast

from sqlalchemy import Connection, Engine, MetaData, Select, Table, func, insert, select, text

from tallystick_node.backups.log import Entries, Look
from tallystick_node.errors import BackupRefused
from tallystick_node.migrations import VERSION_TABLE, revision_in
from tallystick_node.storage.database import is_postgres, storage_errors
from tallystick_node.storage.tables import BLOBS, HEADS

ROWS_AT_ONCE = 32
"""How many rows are held at once: one may be as large as all entries of a commit."""

LINE_SIZE_MAX_BYTES = 256 * 1024 * 1024

Dropped: TypeAlias = Callable[[str, int], Iterator[Entries]]
"""Takes the name of a log and how many of its first entries are wanted."""


def rows_of(engine: Engine, *, dropped: Dropped | None = None, look: Look | None = None) -> Iterator[bytes]:
    """Yield the lines of a database, all as it was at one moment, while others write.

    Args:
        engine: of the database.
        dropped: returns the first entries of a log, which the database does not hold any more; None: they are left out.
        look: looks at every row.

    Raises:
        StorageUnavailable: it cannot be read.
        BackupRefused: as `dropped` and `look` do.
    """
    with storage_errors(), engine.connect() as plain:
        asked: dict[str, Any] = {"stream_results": True, "yield_per": ROWS_AT_ONCE}
        if is_postgres(engine):
            asked |= {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        connection, count = plain.execution_options(**asked), 0
        yield _line({"revision": revision_in(connection)})
        for table in _tables(connection).values():
            yield _line({"table": table.name, "columns": [column.name for column in table.columns]})
            rows = (
                _entries_of(connection, table, dropped)
                if table.name == BLOBS.name
                else _rows_of(connection, select(table))
            )
            for row in rows:
                count += 1
                if look is not None:
                    look(table.name, row)
                yield _line([_told(row[column.name]) for column in table.columns])
        yield _line({"rows": count})


def revision_told(line: bytes) -> str:
    """Return which revision of the database the lines are of, by the first.

    Raises:
        BackupRefused: it is no such line.
    """
    revision = _members(_parsed(line)).get("revision")
    if not isinstance(revision, str):
        raise malformed()
    return revision


def put_rows(connection: Connection, lines: Iterable[bytes], *, look: Look | None = None) -> None:
    """Put the lines of a database, but for the first, into tables that are empty.

    Args:
        connection: to the database.
        lines: without the first.
        look: looks at every row.

    Raises:
        BackupRefused: the lines are not those of such a database, or as `look` does.
    """
    tables = _tables(connection)
    table: Table | None = None
    waiting: list[dict[str, Any]] = []
    count = 0
    for line in lines:
        said = _parsed(line)
        if isinstance(said, list) and table is not None:
            row = cast("Sequence[Any]", said)
            if len(row) != len(table.columns):
                raise malformed()
            waiting.append({name: _meant(value) for name, value in zip(table.columns.keys(), row, strict=True)})
            if look is not None:
                look(table.name, waiting[-1])
            count += 1
            if len(waiting) == ROWS_AT_ONCE:
                _put(connection, table, waiting)
            continue
        _put(connection, table, waiting)
        if said == {"rows": count}:
            break
        table = _begun(tables, said)
    else:
        raise malformed()
    if is_postgres(connection):
        _go_on_counting(connection, tables)


def malformed() -> BackupRefused:
    """Return the error for what opens, and is no backup that this version knows."""
    return BackupRefused(
        "backup_malformed", "The backup is not of a form that this version knows.", remedy="Use a later version."
    )


def _tables(connection: Connection) -> dict[str, Table]:
    """Return the tables as the database has them: those of the revision it is at."""
    found = MetaData()
    found.reflect(connection)
    return {name: table for name, table in sorted(found.tables.items()) if name != VERSION_TABLE}


def _rows_of(connection: Connection, query: Select[Any]) -> Iterator[dict[str, Any]]:
    for row in connection.execute(query).mappings():
        yield {str(name): value for name, value in row.items()}


def _entries_of(connection: Connection, table: Table, dropped: Dropped | None) -> Iterator[dict[str, Any]]:
    """Yield the entries of every log in order, those first that the database has dropped."""
    if "log" not in table.columns:  # there was one, without a name, and it dropped nothing
        yield from _rows_of(connection, table.select().order_by(table.c.first))
        return
    first_held = dict(connection.execute(select(table.c.log, func.min(table.c.first)).group_by(table.c.log)).all())
    sizes = connection.execute(select(HEADS.c.log, HEADS.c.size).order_by(HEADS.c.log)).all()
    for log, size in sizes:
        if dropped is not None:
            for each in dropped(log, first_held.get(log, size)):
                yield {"log": log, "first": each.first, "count": each.count, "entries": each.raw}
        yield from _rows_of(connection, select(table).where(table.c.log == log).order_by(table.c.first))


def _begun(tables: dict[str, Table], said: Any) -> Table:
    told = _members(said)
    table = tables.get(str(told.get("table")))
    if table is None or told.get("columns") != table.columns.keys():
        raise malformed()
    return table


def _members(said: Any) -> dict[str, Any]:
    return cast("dict[str, Any]", said) if isinstance(said, dict) else {}


def _put(connection: Connection, table: Table | None, waiting: list[dict[str, Any]]) -> None:
    if table is not None and waiting:
        connection.execute(insert(table), waiting)
    waiting.clear()


def _go_on_counting(connection: Connection, tables: dict[str, Table]) -> None:
    """Let PostgreSQL number new rows after those that were put in with their numbers; SQLite does by itself."""
    for table in tables.values():
        for column in table.primary_key.columns:
            named = {"table": f'"{table.name}"', "column": column.name}
            sequence = connection.scalar(text("SELECT pg_get_serial_sequence(:table, :column)"), named)
            last = None if sequence is None else connection.scalar(select(func.max(column)))
            if last is not None:
                connection.execute(text("SELECT setval(:sequence, :last)"), {"sequence": sequence, "last": last})


def _line(said: Any) -> bytes:
    return json.dumps(said, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def _parsed(line: bytes) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        raise malformed() from None


def _told(value: Any) -> Any:
    return {"b": b64encode(value).decode("ascii")} if isinstance(value, bytes) else value


def _meant(value: Any) -> Any:
    return b64decode(_members(value)["b"]) if isinstance(value, dict) else value
